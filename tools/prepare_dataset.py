"""The same as `xkd prepare-dataset`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("prepare-dataset", sys.argv[1:]))
