"""`python -m chaos.mutations`."""

import sys

from chaos.mutations.command import main

if __name__ == "__main__":
    sys.exit(main())
