"""`python -m services.scoring`."""

from funnel.runtime import run
from services.scoring.app import build

if __name__ == "__main__":
    run(build)
