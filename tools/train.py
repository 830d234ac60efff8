"""The same as `xkd train`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("train", sys.argv[1:]))
