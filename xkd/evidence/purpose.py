"""What a comparison is about: a gain, or where the student looks."""

from __future__ import annotations

from mmengine.config import Config

from xkd.engine.config import as_plain
from xkd.engine.outline import Outline
from xkd.statistics import ABOUT, Purpose


def purpose_of(config: Config) -> Purpose:
    """`compare.about`, by default attention where masks are all that is added to the labels; `ValueError` for what it cannot be."""
    steers = Outline.of(config).steers
    section = as_plain(config.get("compare") or {})
    about = section.get("about", "attention" if steers else "gain")
    if about not in ABOUT:
        raise ValueError(f"compare.about is one of {list(ABOUT)}, got {about!r}")
    student = config.distiller.student
    if section.get("about") == "attention" and student not in section.get("attention", {}):
        raise ValueError(
            f"compare.about = 'attention' needs a map of the student: name one by compare.attention, such as"
            f" compare.attention.{student}='grad_cam:stage:-1'; it names those of {list(section.get('attention', {}))}"
        )
    return Purpose(about, "steered" if steers else "distilled")
