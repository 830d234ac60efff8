"""The same as `xkd plan`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("plan", sys.argv[1:]))
