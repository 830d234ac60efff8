"""The same as `xkd exits`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("exits", sys.argv[1:]))
