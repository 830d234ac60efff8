"""The same as `xkd export`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("export", sys.argv[1:]))
