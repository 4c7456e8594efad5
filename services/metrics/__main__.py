"""`python -m services.metrics`."""

from funnel.runtime import run
from services.metrics.app import build

if __name__ == "__main__":
    run(build)
