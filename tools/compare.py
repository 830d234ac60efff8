"""The same as `xkd compare`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("compare", sys.argv[1:]))
