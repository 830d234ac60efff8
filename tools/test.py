"""The same as `xkd test`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("test", sys.argv[1:]))
