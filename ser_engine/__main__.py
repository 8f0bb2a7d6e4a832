"""`python -m ser_engine`."""

import sys

from ser_engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
