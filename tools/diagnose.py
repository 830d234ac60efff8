"""The same as `xkd diagnose`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("diagnose", sys.argv[1:]))
