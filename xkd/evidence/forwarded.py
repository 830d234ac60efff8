"""A display in a process of its own: each line and the bars are sent to the process that shows them."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from rich.progress import Progress

from xkd.engine.progress import Display
from xkd.engine.screen import Screen

_EVERY: Final = 0.5  # seconds between two looks at a run's bars


@contextlib.contextmanager
def forwarded(send: Callable[[str, Any], None], terminal: bool, width: int) -> Iterator[Display]:
    """A display whose lines and bars are shown by the parent."""
    console = Screen(width, file=_Lines(send), force_terminal=terminal, color_system=None)
    progress = Progress(console=console, disable=True)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY):
            send("bars", [(int(task.id), task.description, task.completed, task.total) for task in list(progress.tasks)])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield Display(console, progress, brief=True)
    finally:
        over.set()
        watcher.join()


class _Lines(io.TextIOBase):
    """A file that sends each line."""

    def __init__(self, send: Callable[[str, Any], None]) -> None:
        self.send = send

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                self.send("line", line.rstrip())
        return len(text)
