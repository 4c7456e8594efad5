"""`python -m services.routing`."""

from funnel.runtime import run
from services.routing.app import build

if __name__ == "__main__":
    run(build)
