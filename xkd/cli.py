"""The console command: `xkd prepare-dataset|train|test|compare|...`; `tools/*.py` call the same code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence

COMMANDS = (
    "prepare-dataset",
    "check-pairs",
    "register-pairs",
    "pack",
    "detect-boxes",
    "init",
    "pretrain",
    "train",
    "test",
    "diagnose",
    "compare",
    "plan",
    "distill",
    "search",
    "exits",
    "visualize",
    "predict",
    "synthesize",
    "export",
    "inspect-taps",
)


def main() -> int:
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in COMMANDS:
        print(f"usage: xkd {{{','.join(COMMANDS)}}} ...   (xkd COMMAND --help tells more)", file=sys.stderr)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    return run(arguments[0], arguments[1:])


def run(command: str, arguments: Sequence[str]) -> int:
    """Run one command; a user's mistake ends as one short message and exit code 2."""
    module = importlib.import_module(f"xkd.commands.{command.replace('-', '_')}")
    entry: Callable[[Sequence[str]], int] = module.main
    try:
        return entry(arguments)
    except (ValueError, TypeError, LookupError, OSError, FloatingPointError) as error:
        print(f"xkd {command}: {message_of(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"xkd {command}: interrupted; what was finished is kept", file=sys.stderr)
        return 130


def message_of(error: Exception) -> str:
    """What the error says, without the traceback that a DataLoader's worker wraps it in."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text.rstrip().rpartition(f"\n{type(error).__name__}: ")[2] if text.startswith("Caught ") else text
