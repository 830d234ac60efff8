"""The same as `xkd pack`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("pack", sys.argv[1:]))
