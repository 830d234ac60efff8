"""Panels: rows of pictures with attention over them, one colour scale for all, as one PNG."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from xkd.files import write_atomically

SCALE_TOP: Final = 5.0  # times evenly spread; more is shown alike
Verdict = Literal["", "right", "wrong"]

# sequential in lightness, apart from the thermal camera's inferno and from leaves; clear where nobody looks
_ATTENTION: Final = LinearSegmentedColormap.from_list(
    "attention", [(0.10, 0.30, 0.90, 0.0), (0.10, 0.62, 1.0, 0.3), (1.0, 0.95, 0.25, 0.7), (1.0, 0.25, 0.10, 0.85)]
)
# from the lower end to the higher one by lightness, black where nobody knows
_LEVELS: Final = colormaps["viridis"].with_extremes(bad="black")
# told apart by the colour-blind (Okabe and Ito), the first is what most pixels are
_CLASS_COLOURS: Final = tuple(
    to_rgb(colour) for colour in ("#7a7a7a", "#009e73", "#d55e00", "#0072b2", "#f0e442", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
)
_CLASS_ALPHA: Final = 0.6
_FIRST_OF_BOXES: Final = 1  # colour; there is no background among boxes
_OUTLINE, _OUTLINE_SHADOW = "#ffffff", "#00000080"
_VERDICTS: Final = {"": ("", "#333333"), "right": ("✓ ", "#12743b"), "wrong": ("✗ ", "#b3261e")}
_CELL, _HEAD, _CAPTION, _GAP, _BAR = 1.9, 0.34, 0.3, 0.1, 0.6  # inches
_ABOVE_CAPTION = 3 / 72  # inches
_MARGIN, _LETTER = 0.12, 0.085  # inches, of the labels on the left
_SMALL_LETTER = 0.056  # of the legend
_DIM = 0.55  # how much colour and contrast an image keeps under attention


@dataclass(frozen=True)
class Panel:
    """One picture: an (H, W, 3) image, with what a network attends to or the class of each pixel over it, and the outline of a mask.

    `attention` (h, w) may have any size and unit, not negative; `outline` (H', W') is the share of each pixel inside the region;
    `classes` (H', W') are indices, below 0 where a pixel has none; `levels` (H', W') are numbers that take the image's place, 0..1 between
    the ends of a `scale` in words, NaN where there is none; `boxes` (M, 6) are x1 y1 x2 y2 in 0..1, score and index of the class.
    """

    title: str
    image: NDArray[np.uint8]
    attention: NDArray[np.floating] | None = None
    outline: NDArray[np.floating] | None = None
    caption: str = ""
    verdict: Verdict = ""
    classes: NDArray[np.integer] | None = None
    boxes: NDArray[np.floating] | None = None
    levels: NDArray[np.floating] | None = None
    scale: str = ""


@dataclass(frozen=True)
class PanelRow:
    """A sample: its name, a line of its own (the true class) and its panels, which stand under those of the same title."""

    name: str
    note: str
    panels: tuple[Panel, ...]


def draw_folder(rows: Sequence[PanelRow], folder: Path, class_names: Sequence[str] = ()) -> Path:
    """One PNG for each row, named after it, and all of them as `contact_sheet.png`, whose path is returned."""
    taken = {"contact_sheet"}
    for row in rows:
        name = row.name.replace("/", "_").replace("\\", "_")
        if name in taken:
            name = next(f"{name}_{number}" for number in itertools.count(2) if f"{name}_{number}" not in taken)
        taken.add(name)
        draw_rows([row], folder / f"{name}.png", class_names)
    draw_rows(rows, folder / "contact_sheet.png", class_names)
    return folder / "contact_sheet.png"


def draw_rows(rows: Sequence[PanelRow], path: Path, class_names: Sequence[str] = ()) -> None:
    """Write the rows as a PNG: one row is a panel, many are a contact sheet."""
    write_atomically(path, picture(rows, class_names))


def draw_pixels(rows: Sequence[PanelRow], class_names: Sequence[str] = ()) -> NDArray[np.uint8]:
    """The same as (H, W, 3) RGB, for a visualisation backend."""
    drawn = cv2.imdecode(np.frombuffer(picture(rows, class_names), np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(drawn, np.uint8)[..., ::-1])


def picture(rows: Sequence[PanelRow], class_names: Sequence[str] = (), dpi: int = 110) -> bytes:
    """The rows as the bytes of a PNG. Titles head the columns, a row may leave one out.

    Attention is shown relative to evenly spread attention (1), so maps of unlike networks can be compared, on one colour scale that
    is the same in every picture and ends at `SCALE_TOP`. `class_names` stand below where panels show `classes`.
    Raises `ValueError` for no rows or a malformed panel.
    """
    if not rows:
        raise ValueError("no panels to draw")
    if empty := [row.name for row in rows if not row.panels]:
        raise ValueError(f"row '{empty[0]}' has no panels")
    titles = list(dict.fromkeys(panel.title for row in rows for panel in row.panels))
    attention = any(panel.attention is not None for row in rows for panel in row.panels)
    boxes = any(panel.boxes is not None for row in rows for panel in row.panels)
    pixels = any(panel.classes is not None for row in rows for panel in row.panels)
    scales = "; ".join(dict.fromkeys(panel.scale for row in rows for panel in row.panels if panel.levels is not None))
    label = _label_width(rows)
    heights = [_CELL * max(panel.image.shape[0] / panel.image.shape[1] for panel in row.panels) for row in rows]
    outlined = any(_has_outline(panel) for row in rows for panel in row.panels)
    legend = f"attention, times evenly spread{'; outline: region of interest' if outlined else ''}" if attention else ""
    bars = [text for text in (legend, scales) if text]
    width = max(label + len(titles) * (_CELL + _GAP) + _GAP, label + sum(map(_bar_width, bars)))
    foot = _BAR if bars or pixels or boxes else _GAP
    height = _HEAD + sum(heights) + len(rows) * (_CAPTION + _GAP) + foot
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    for column, title in enumerate(titles):
        x = (label + column * (_CELL + _GAP) + _CELL / 2) / width
        figure.text(
            x, 1 - 0.6 * _HEAD / height, title, ha="center", va="center", fontsize=9.5, fontweight="bold", color="#222222", parse_math=False
        )
    axes = figure.add_axes((0, 0, 1, 1))  # in inches; one for each picture would take twice as long
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(0, height))
    top = height - _HEAD
    for row, cell in zip(rows, heights, strict=True):
        middle = (top - cell / 2) / height
        figure.text(_MARGIN / width, middle, f"{row.name}\n", va="center", fontsize=9, fontweight="bold", color="#222222", parse_math=False)
        figure.text(_MARGIN / width, middle, f"\n{row.note}", va="center", fontsize=9, color="#444444", parse_math=False)
        for panel in row.panels:
            _draw(axes, panel, label + titles.index(panel.title) * (_CELL + _GAP), top)
        top -= cell + _CAPTION + _GAP
    for text in bars:
        _legend(figure, text, label + (_bar_width(legend) if legend and text is scales else 0.0), width, height, text is scales)
    if pixels or boxes:
        _class_legend(figure, class_names, (_GAP + (width / 2 if attention else 0.0)) / width, height, _FIRST_OF_BOXES if boxes else 0)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    return drawn.getvalue()


def _draw(axes: Axes, panel: Panel, left: float, top: float) -> None:
    if panel.image.ndim != 3 or panel.image.shape[2] != 3 or panel.image.dtype != np.uint8:
        raise ValueError(f"panel '{panel.title}': image must be (H, W, 3) uint8, got {panel.image.shape} {panel.image.dtype}")
    height, width = panel.image.shape[:2]
    middle, bottom = left + _CELL / 2, top - _CELL * height / width
    box = (left, left + _CELL, bottom, top)
    image = panel.image if panel.attention is None and panel.classes is None else _dimmed(panel.image)
    axes.imshow(image, extent=box, interpolation="bilinear", aspect="auto")
    if panel.levels is not None:
        axes.imshow(_LEVELS(np.ma.masked_invalid(np.clip(panel.levels, 0, 1))), extent=box, interpolation="nearest", aspect="auto")
    if panel.classes is not None:
        axes.imshow(_coloured(panel.classes), extent=box, interpolation="nearest", aspect="auto")
    if panel.attention is not None:
        shown = _relative(panel)
        if shown is None:
            plate = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8}
            axes.text(middle, (top + bottom) / 2, "no attention\n(all zero)", ha="center", va="center", fontsize=8, bbox=plate)
        else:
            large = cv2.resize(shown.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
            axes.imshow(large, extent=box, cmap=_ATTENTION, vmin=0.0, vmax=SCALE_TOP, interpolation="bilinear", aspect="auto")
    _draw_boxes(axes, panel, box)
    if _has_outline(panel):
        for colour, line in ((_OUTLINE_SHADOW, 1.8), (_OUTLINE, 0.8)):
            axes.contour(panel.outline, levels=[0.5], colors=[colour], linewidths=line, extent=box, origin="upper")
    mark, colour = _VERDICTS[panel.verdict]
    if panel.caption:
        place = (middle, bottom - _ABOVE_CAPTION)
        axes.text(*place, mark + panel.caption, ha="center", va="top", fontsize=8.5, color=colour, parse_math=False)


def _draw_boxes(axes: Axes, panel: Panel, cell: tuple[float, float, float, float]) -> None:
    """In a cell (left, right, bottom, top)."""
    left, right, bottom, top = cell
    for x1, y1, x2, y2, _, index in [] if panel.boxes is None else panel.boxes.tolist():
        place = (left + x1 * (right - left), top - y2 * (top - bottom))
        across, down = (x2 - x1) * (right - left), (y2 - y1) * (top - bottom)
        for colour, line in ((_OUTLINE_SHADOW, 2.4), (_class_colour(int(index) + _FIRST_OF_BOXES), 1.2)):
            axes.add_patch(Rectangle(place, across, down, fill=False, edgecolor=colour, linewidth=line))


def _has_outline(panel: Panel) -> bool:
    return panel.outline is not None and bool(panel.outline.max() >= 0.5 > panel.outline.min())


def _dimmed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paler and greyer, so that the colours over it are those of the attention."""
    grey = image.mean(2, keepdims=True)
    pale = 255 * (1 - _DIM) * 0.6 + (_DIM + (1 - _DIM) * 0.4) * (grey + _DIM * (image - grey))
    return np.asarray(np.clip(pale, 0, 255), np.uint8)


def _class_colour(index: int) -> tuple[float, float, float]:
    return _CLASS_COLOURS[index % len(_CLASS_COLOURS)]


def _coloured(classes: NDArray[np.integer]) -> NDArray[np.float64]:
    """(H, W) to RGBA: a colour for each class, nothing where a pixel has none."""
    colours = np.array([(*_class_colour(index), _CLASS_ALPHA) for index in range(int(classes.max(initial=0)) + 1)] + [(0.0,) * 4])
    return np.asarray(colours[np.where(classes < 0, len(colours) - 1, classes)])


def _relative(panel: Panel) -> NDArray[np.float64] | None:
    """Attention over its mean, so that 1 is evenly spread; none where all of it is zero."""
    attention = np.asarray(panel.attention, np.float64)
    if attention.ndim != 2 or not np.isfinite(attention).all() or attention.min() < 0:
        raise ValueError(f"panel '{panel.title}': attention must be (h, w), finite and not negative, got shape {attention.shape}")
    mean = attention.mean()
    return attention / mean if mean > 0 else None


def _label_width(rows: Sequence[PanelRow]) -> float:
    return 2 * _MARGIN + _LETTER * max(len(line) for row in rows for text in (row.name, row.note) for line in text.splitlines() or [""])


def _bar_width(text: str) -> float:
    """Of a colour bar and the words beside it."""
    return _CELL + 3 * _GAP + _SMALL_LETTER * len(text)


def _legend(figure: Figure, text: str, left: float, width: float, height: float, of_levels: bool) -> None:
    axes = figure.add_axes((left / width, 0.28 / height, _CELL / width, 0.1 / height))
    axes.set_facecolor("#c4c4c4")
    scale = ScalarMappable(Normalize(0, 1), _LEVELS) if of_levels else ScalarMappable(Normalize(0, SCALE_TOP), _ATTENTION)
    ticks = [] if of_levels else [float(tick) for tick in range(int(SCALE_TOP) + 1)]
    extend = "neither" if of_levels else "max"
    figure.colorbar(scale, cax=axes, orientation="horizontal", extend=extend, ticks=ticks, drawedges=False)
    axes.tick_params(labelsize=7.5, length=2, color="#444444", labelcolor="#444444")
    figure.text((left + _CELL + 2 * _GAP) / width, 0.33 / height, text, va="center", fontsize=8, color="#444444")


def _class_legend(figure: Figure, names: Sequence[str], left: float, height: float, first: int) -> None:
    swatches = [Patch(color=_class_colour(index), label=name, alpha=_CLASS_ALPHA) for index, name in enumerate(names, first)]
    columns = min(len(names), 6)
    figure.legend(
        handles=swatches, loc="lower left", bbox_to_anchor=(left, 0.05 / height), ncols=columns, fontsize=8, frameon=False, borderpad=0.2
    )
