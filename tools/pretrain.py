"""The same as `xkd pretrain`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("pretrain", sys.argv[1:]))
