"""`python -m chaos.checker HISTORY_DIR`."""

import sys

from chaos.checker.command import main

sys.exit(main())
