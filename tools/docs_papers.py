"""What a loss's or projector's file says above its code, the paper and the variant, stands in the reference before the class's text."""

from __future__ import annotations

from typing import Any, Final

import griffe

ROOMS: Final = ("xkd.losses.", "xkd.projectors.")


class Papers(griffe.Extension):
    """Named in mkdocs.yml."""

    def on_class(self, *, cls: griffe.Class, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        file = cls.module
        if cls.docstring and file.docstring and file.path.startswith(ROOMS) and not cls.name.startswith("_"):
            cls.docstring.value = f"{file.docstring.value}\n\n{cls.docstring.value}"
