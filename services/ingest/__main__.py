"""`python -m services.ingest`."""

from funnel.runtime import run
from services.ingest.app import build

if __name__ == "__main__":
    run(build)
