"""`python -m campfire`: the same as the command `campfire`."""

import sys

from campfire.cli import main

if __name__ == "__main__":
    sys.exit(main())
