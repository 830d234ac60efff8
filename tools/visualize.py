"""The same as `xkd visualize`."""

import sys

from xkd.cli import run

if __name__ == "__main__":
    sys.exit(run("visualize", sys.argv[1:]))
