"""Where commands print."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console


class Screen(Console):
    """The terminal, or a pipe of `width` columns. Tables keep to the width; a line of text is not broken: its paths are copied whole.

    What stands in brackets is text, such as the name of a key, and no markup.
    """

    def __init__(self, width: int = 120, quiet: bool = False, **options: Any) -> None:
        super().__init__(width=None if sys.stdout.isatty() else width, quiet=quiet, emoji=False, markup=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        if all(isinstance(one, str) for one in objects):
            options.setdefault("soft_wrap", True)
        super().print(*objects, **options)
