"""The same as `xkd init`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("init", sys.argv[1:]))
