"""The same as `xkd inspect-taps`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("inspect-taps", sys.argv[1:]))
