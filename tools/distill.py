"""The same as `xkd distill`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("distill", sys.argv[1:]))
