"""The same as `xkd check-pairs`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("check-pairs", sys.argv[1:]))
