"""The same as `xkd synthesize`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("synthesize", sys.argv[1:]))
