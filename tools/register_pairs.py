"""The same as `xkd register-pairs`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("register-pairs", sys.argv[1:]))
