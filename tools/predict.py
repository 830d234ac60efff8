"""The same as `xkd predict`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("predict", sys.argv[1:]))
