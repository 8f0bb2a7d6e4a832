"""`python -m ser_engine`."""

import sys

from ser_engine.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
