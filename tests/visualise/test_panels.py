from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from xkd.visualise import Panel, PanelRow, draw_folder, draw_rows

GREY = np.full((40, 60, 3), 128, np.uint8)


def drawn(path: Path, *panels: Panel, rows: int = 1) -> NDArray[np.uint8]:
    draw_rows([PanelRow(f"leaf {k}", "rust", panels) for k in range(rows)], path)
    image = cv2.imread(str(path))
    assert image is not None
    return image


def test_the_same_picture_for_the_same_input_and_no_other(tmp_path: Path) -> None:
    looks = np.zeros((4, 6))
    looks[1, 2] = 1.0
    mask = np.zeros((40, 60))
    mask[10:20, 20:30] = 1.0
    plain = Panel("student", GREY, looks, mask, "rust 90 %", "right")
    first = drawn(tmp_path / "a.png", plain)
    assert (first == drawn(tmp_path / "b.png", plain)).all()
    for number, other in enumerate(
        [
            Panel("student", GREY, looks[::-1], mask, "rust 90 %", "right"),
            Panel("student", GREY, looks, mask[::-1], "rust 90 %", "right"),
            Panel("student", GREY, looks, None, "rust 90 %", "right"),
            Panel("student", GREY, looks, mask, "rust 90 %", "wrong"),
            Panel("student", GREY, np.zeros((4, 6)), mask, "rust 90 %", "right"),
        ]
    ):
        second = drawn(tmp_path / f"{number}.png", other)
        assert second.shape == first.shape or other.outline is None, "without an outline the legend is shorter"
        assert second.shape != first.shape or (second != first).any(), number
    assert len(list(tmp_path.iterdir())) == 7, "and no temporary file is left"


def test_a_folder_of_panels_keeps_every_row(tmp_path: Path) -> None:
    names = ["plant.1", "plant.2", "a/01.jpg", "b/01.jpg", "a_01.jpg", "contact_sheet"]
    sheet = draw_folder([PanelRow(name, "rust", (Panel("student", GREY),)) for name in names], tmp_path)
    assert sheet == tmp_path / "contact_sheet.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["plant.1.png", "plant.2.png", "a_01.jpg.png", "b_01.jpg.png", "a_01.jpg_2.png", "contact_sheet_2.png", "contact_sheet.png"]
    )
    assert len(cv2.imread(str(sheet))) > 3 * len(cv2.imread(str(tmp_path / "plant.1.png")))


def test_attention_is_relative_so_its_unit_does_not_matter(tmp_path: Path) -> None:
    looks = np.random.default_rng(0).random((4, 6))
    first, second = (drawn(tmp_path / "a.png", Panel("s", GREY, looks * scale)) for scale in (1.0, 1000.0))
    assert np.abs(first.astype(int) - second).max() <= 1


def test_attention_is_where_it_should_be(tmp_path: Path) -> None:
    looks = np.zeros((4, 6))
    looks[0, 5] = 1.0
    plain = drawn(tmp_path / "a.png", Panel("s", GREY, np.ones((4, 6))))
    image = drawn(tmp_path / "b.png", Panel("s", GREY, looks))
    rows, columns = np.nonzero((image.astype(int) - plain)[..., 2] > 60)  # redder
    cells, across = np.nonzero(np.ptp(plain[: len(plain) // 2], axis=2) > 0)  # the picture: nothing else there has colour
    assert rows.max() < (cells.min() + cells.max()) / 2
    assert columns.min() > (across.min() + across.max()) / 2


def test_sheets_grow_by_rows_and_columns(tmp_path: Path) -> None:
    one = drawn(tmp_path / "a.png", Panel("input", GREY))
    wide = drawn(tmp_path / "b.png", Panel("input", GREY), Panel("teacher", GREY))
    tall = drawn(tmp_path / "c.png", Panel("input", GREY), rows=3)
    assert wide.shape[1] > 1.5 * one.shape[1]
    assert wide.shape[0] == one.shape[0]
    assert tall.shape[0] > 2 * one.shape[0]


def test_rows_may_leave_a_column_out(tmp_path: Path) -> None:
    rows = [
        PanelRow("a", "", (Panel("input", GREY), Panel("teacher", GREY))),
        PanelRow("b", "", (Panel("teacher", GREY),)),
        PanelRow("c", "", ()),
    ]
    draw_rows(rows[:2], tmp_path / "sheet.png")
    with pytest.raises(ValueError, match="row 'c' has no panels"):
        draw_rows(rows, tmp_path / "sheet.png")


@pytest.mark.parametrize(
    ("panel", "text"),
    [
        (Panel("input", GREY[..., 0]), r"'input': image must be \(H, W, 3\) uint8"),
        (Panel("input", GREY.astype(np.float32)), "uint8"),
        (Panel("looks", GREY, np.full((2, 2), np.nan)), "'looks': attention must be"),
        (Panel("looks", GREY, -np.ones((2, 2))), "not negative"),
    ],
)
def test_malformed_panels_are_named(panel: Panel, text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        draw_rows([PanelRow("a", "", (panel,))], tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no panels"):
        draw_rows([], tmp_path / "sheet.png")


def test_dollars_in_a_name_are_no_formula(tmp_path: Path) -> None:
    hostile = Panel(r"$\frac$", GREY, caption=r"$\frac$")
    draw_rows([PanelRow(r"$\frac$", r"$\frac$", (hostile,))], tmp_path / "sheet.png")


def test_classes_have_colours_of_their_own_and_unknown_pixels_none(tmp_path: Path) -> None:
    classes = np.zeros((40, 60), np.int64)
    plain = drawn(tmp_path / "plain.png", Panel("s", GREY, classes=classes))
    for number, changed in enumerate((classes + 1, classes + 2, classes - 1)):
        assert (drawn(tmp_path / f"{number}.png", Panel("s", GREY, classes=changed)) != plain).any(), number
    many = drawn(tmp_path / "many.png", Panel("s", GREY, classes=classes + 30))
    assert many.shape == plain.shape, "more classes than colours take them in turn"


def test_the_legend_names_the_classes(tmp_path: Path) -> None:
    rows = [PanelRow("leaf", "", (Panel("s", GREY, classes=np.zeros((40, 60), np.int64)),))]
    pictures = []
    for names in (("soil", "crop"), ("soil", "weed")):
        draw_rows(rows, tmp_path / "x.png", names)
        pictures.append(cv2.imread(str(tmp_path / "x.png")))
    assert (pictures[0] != pictures[1]).any()


def test_boxes_are_drawn_in_the_colours_of_their_classes(tmp_path: Path) -> None:
    boxes = np.array([[0.1, 0.1, 0.5, 0.6, 0.9, 0], [0.6, 0.2, 0.9, 0.8, 0.5, 1]])
    plain, boxed = (drawn(tmp_path / f"{number}.png", Panel("rgb", GREY, boxes=of)) for number, of in enumerate((None, boxes)))
    for colour in ((115, 158, 0), (0, 94, 213)):  # BGR of the second and the third: the first is a background's
        assert (np.abs(boxed.astype(int) - colour).sum(2) < 60).sum() > 50
        assert (np.abs(plain.astype(int) - colour).sum(2) < 60).sum() == 0


def test_numbers_of_pixels_take_the_images_place_and_what_nobody_knows_is_black(tmp_path: Path) -> None:
    levels = np.tile(np.linspace(-0.2, 1.2, 60), (40, 1))
    levels[:20] = np.nan
    shown = drawn(tmp_path / "a.png", Panel("depth", GREY, levels=levels, scale="range (2 to 80 m)"))
    for colour in ((84, 1, 68), (37, 231, 253)):  # BGR of viridis's ends, to which what lies beyond is cut
        assert (np.abs(shown.astype(int) - colour).sum(2) < 12).sum() > 1000
    assert (shown.sum(2) == 0).sum() > 10_000
    assert (np.abs(shown.astype(int) - 128).max(2) < 3).sum() < 500, "the image itself is not seen"
    other = drawn(tmp_path / "b.png", Panel("depth", GREY, levels=levels, scale="depth (2 to 80 m)"))
    assert shown.shape == other.shape
    assert (shown != other).any(), "the scale is named"
    both = drawn(tmp_path / "c.png", Panel("depth", GREY, levels=levels, scale="x"), Panel("rgb", GREY, np.ones((4, 6))))
    assert both.shape[1] > shown.shape[1], "two legends beside each other"
