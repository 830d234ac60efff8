"""What does it cost? Each benchmark is a script of its own; this one finds it by name.

python tools/benchmark.py losses --repeats 200
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

SCRIPTS = {path.stem.removeprefix("benchmark_"): path for path in sorted(Path(__file__).parent.glob("benchmark_*.py"))}


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name not in SCRIPTS:
        complaint = {"-h": "", "--help": ""}.get(name, f"no benchmark '{name}'\n")
        raise SystemExit(f"{complaint}usage: python {sys.argv[0]} {{{','.join(SCRIPTS)}}} ...; each takes --help")
    sys.argv = [str(SCRIPTS[name]), *sys.argv[2:]]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
