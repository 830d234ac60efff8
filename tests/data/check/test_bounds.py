"""Boxes and crops that leave their frame."""

from __future__ import annotations

from pathlib import Path

import pytest
from shape_pairs import HEIGHT, WIDTH, check, graver, only, replace


def _with_column(root: Path, name: str, value: str, rows: range = range(18)) -> None:
    lines = (root / "manifest.csv").read_text("utf-8").splitlines()
    filled = [f"{lines[0]},{name}"] + [f"{line},{value if number in rows else ''}" for number, line in enumerate(lines[1:])]
    (root / "manifest.csv").write_text("\n".join(filled) + "\n", "utf-8")


@pytest.mark.parametrize(("column", "inside"), [("boxes", f"0 0 {WIDTH} {HEIGHT} a"), ("crop", f"-20 10 {WIDTH - 40} {HEIGHT}")])
def test_objects_up_to_the_edge_are_no_finding(copy: Path, column: str, inside: str) -> None:
    _with_column(copy, column, inside)
    assert not graver(check(copy))


def test_boxes_that_leave_their_frame_are_counted(copy: Path) -> None:
    _with_column(copy, "boxes", f"10 10 {2 * WIDTH} {HEIGHT} a", range(4))
    text = only(check(copy), "error", "labels")
    assert text.startswith(f"4 of 4 boxes leave their frame: row 'r0' ({WIDTH}x{HEIGHT}), row 'r1'")
    _few(copy)
    assert only(check(copy), "warning", "labels").startswith("4 of 18 boxes leave their frame")


def _few(root: Path) -> None:
    lines = (root / "manifest.csv").read_text("utf-8").splitlines()
    (root / "manifest.csv").write_text("\n".join(line + "10 10 20 20 a" if line.endswith(",") else line for line in lines) + "\n", "utf-8")


def test_crops_that_lie_mostly_outside_are_counted(copy: Path) -> None:
    _with_column(copy, "crop", f"{WIDTH - 20} 10 {WIDTH + 60} {HEIGHT}")
    text = only(check(copy), "error", "labels")
    assert text.startswith("18 of 18 crops lie half or more outside their frame")


def test_the_frame_is_the_one_that_the_manifest_states(copy: Path) -> None:
    """Boxes of a sensor with twice the pixels."""
    _with_column(copy, "boxes", f"10 10 {2 * WIDTH} {2 * HEIGHT} a")
    assert only(check(copy), "error", "labels")
    replace(copy / "manifest.toml", "[mask]", f"[pairs]\nsame_size = false\nsize = [{2 * WIDTH}, {2 * HEIGHT}]\n\n[mask]")
    assert not graver(check(copy))
