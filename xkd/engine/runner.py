"""mmengine's Runner, which leaves the screen to the progress bar and to errors."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.runner import Runner


class QuietRunner(Runner):
    """Its log goes to its file."""

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None) -> logging.Logger:
        logger: logging.Logger = super().build_logger(log_level, log_file)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.ERROR)
        return logger

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        with _shell_unheard():  # it asks compilers for their versions, and where there is none the shell complains
            super()._log_env(env_cfg)


@contextmanager
def _shell_unheard() -> Iterator[None]:
    """What processes that are started meanwhile write to the standard error goes nowhere."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
