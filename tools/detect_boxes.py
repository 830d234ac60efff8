"""The same as `xkd detect-boxes`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("detect-boxes", sys.argv[1:]))
