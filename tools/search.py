"""The same as `xkd search`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("search", sys.argv[1:]))
