"""Python imports a module of this name when it starts: with this folder on PYTHONPATH the tests' processes are kept off the network too."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "", None)
HERE = os.path.dirname(os.path.realpath(__file__))


def no_network(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: whatever reaches beyond this machine in a test, or asks for a name, fails there and then."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if (host.decode() if isinstance(host, bytes) else host) not in LOCAL:
        raise RuntimeError(f"a test reaches for the network: {host}")


def run_next() -> None:
    """The machine's own module of this name, or a coverage tool's: Python imports only the first on its path."""
    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if os.path.realpath(path) != HERE])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


sys.addaudithook(no_network)
if __name__ == "sitecustomize":
    run_next()
