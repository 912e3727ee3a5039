"""``python -m nbqueue``: the command line, where the script ``nbqueue`` is not on the PATH."""

import sys

from nbqueue.cli import main

if __name__ == "__main__":
    sys.exit(main())
