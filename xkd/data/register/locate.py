"""Where the sensor's frame lies in the reference's, from all pairs at once.

Cameras that do not move have one transformation for all pairs, so the correlations of edge directions (`xkd.data.check.residual`) are added
over pairs before their peak is looked for: what is in one scene alone averages out, an edge too weak in each pair counts in the sum.
First the whole frame, for every turn and field of view of a grid; then parts of the frame, whose shifts the model is fitted to
(RANSAC), twice again with the sensor's images warped by what was found so far.

Why this way: in 54 real RGB/thermal pairs of roads (480x300 and 384x240 pixels; 27 estimate) a planted transformation came back with these
errors at the worst corner, in pixels of the reference, against what the same method finds without it; ECC (`cv2.findTransformECC` from
coarse to fine on gradient magnitudes, from the same start) was run on each pair and the median taken of where the corners land.

| planted | pooled parts | ECC, median over pairs |
|---|---|---|
| translation of 7 pixels | 0.04 | 1.1 |
| affine: that and a turn of 2 degrees | 0.02 | 2.0 |
| affine: 29 pixels and 5 degrees | 0.06 | 3.8 |
| homography: 7 pixels, 2 degrees, slight perspective | 0.09 | 4.8 |
| that with a field of view 1.25 times as wide | 0.05 | 2.3 |
| that with a field of view 0.8 times as wide | 0.6 | 64 |

ECC on one pair was 7 to 9 pixels off. With 4, 8 and 16 pairs to estimate from the affine is found to 1.3, 0.7 and 0.4 pixels, the
homography to 4.3, 5.3 and 1.9: it wants more pairs. Without a plant both halves of those pairs agree that thermal is off by 2 pixels
in the corners.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.check.residual import Shift, peak_of, spectrum
from xkd.data.register.calibration_set import Pair, scaling, shape_of
from xkd.geometry import Matrix
from xkd.modalities.raster import warp_plane

PEAK: Final = 4.5  # standard deviations: shuffled pairs stay below 3.3
_COARSE: Final = 128  # pixels of the longer side for the search
_MOST_PAIRS: Final = 16  # that are searched with
_SCALES: Final = tuple(1.08**step for step in range(-6, 7))  # of the field of view, 0.63..1.59
_ANGLES: Final = (-4.0, -2.0, 0.0, 2.0, 4.0)  # degrees
_REACH: Final = 0.2  # of the shorter side, for the search
_PART_REACH: Final = 1 / 6  # of a part's
_LEVELS: Final = (3, 5, 5)  # parts per side
_INLIER: Final = 2.0  # pixels
_LEAST: Final = {"translation": (3, 0.0), "affine": (6, 0.25), "homography": (8, 0.4)}  # parts, and the share of the frame they span
_ASPECT: Final = 1.02  # from which on a stretched and an unstretched frame are both tried


def locate(pairs: Sequence[Pair], model: str, tick: Callable[[int, int], None]) -> Matrix:
    """The homography from pixels of the reference's images to pixels of the sensor's; `ValueError` where there is no telling."""
    matrix = search(pairs, turned=model != "translation")
    for level, count in enumerate(_LEVELS):
        tick(level + 1, len(_LEVELS) + 1)
        # eight numbers from nine parts that are still far off would bend the frame
        matrix = _refined(pairs, matrix, "affine" if model == "homography" and level == 0 else model, count)
    tick(len(_LEVELS) + 1, len(_LEVELS) + 1)
    return matrix


def search(pairs: Sequence[Pair], turned: bool) -> Matrix:
    """The start: of all fields of view and turns the one whose pooled correlation has the highest peak, with its shift."""
    chosen = pairs[:_MOST_PAIRS]
    own, other = shape_of(pairs[0][0]), shape_of(pairs[0][1])
    factor = max(1.0, max(own) / _COARSE)
    size = (round(own[0] / factor), round(own[1] / factor))
    enlarge = scaling(size, own)
    spectra = [np.conj(spectrum(warp_plane(first[..., None], enlarge, size[::-1])[..., 0])) for first, _ in chosen]
    best, start = Shift(0.0, 0.0, 0.0), np.eye(3)
    for candidate in _candidates(own, other, turned):
        placed = candidate @ enlarge
        crosses = [
            first * spectrum(warp_plane(second[..., None], placed, size[::-1])[..., 0])
            for first, (_, second) in zip(spectra, chosen, strict=True)
        ]
        shift = peak_of(np.sum(crosses, 0), _REACH)
        if shift.peak > best.peak:
            best, start = shift, placed @ _moved(shift.x, shift.y) @ np.linalg.inv(enlarge)
    if best.peak < PEAK:
        raise ValueError(
            f"no common edges: the best of all places stands out by {best.peak:.1f} standard deviations over {len(chosen)} pairs, "
            f"{PEAK} are needed; the sensors do not see the same edges, pairs are mixed up, or the frames lie farther apart than is "
            f"looked for ({_REACH:.0%} of the shorter side"
            + (f", {abs(_ANGLES[0]):g} degrees, fields of view of {_SCALES[0]:.2f} to {_SCALES[-1]:.2f}" if turned else "")
            + "); pictures: xkd check-pairs"
        )
    return start


def parts(size: tuple[int, int], count: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of `count` times `count` parts of a frame of (width, height), each half over the next."""
    (width, wide), (height, high) = ((side, max(2 * side // (count + 1), 1)) for side in size)
    for row, column in itertools.product(range(count), repeat=2):
        y, x = row * (height - high) // max(count - 1, 1), column * (width - wide) // max(count - 1, 1)
        yield slice(y, y + high), slice(x, x + wide)


def _candidates(own: tuple[int, int], other: tuple[int, int], turned: bool) -> Iterator[Matrix]:
    """Frame on frame, scaled and turned about the middle."""
    stretch = scaling(own, other)
    if not turned:
        yield stretch
        return
    starts = [stretch]
    ratio = stretch[0, 0] / stretch[1, 1]
    if max(ratio, 1 / ratio) > _ASPECT:
        even = float(np.sqrt(stretch[0, 0] * stretch[1, 1]))
        starts.append(_about((other[0] - 1) / 2, (other[1] - 1) / 2, even / stretch[0, 0], even / stretch[1, 1], 0.0) @ stretch)
    middle = (own[0] - 1) / 2, (own[1] - 1) / 2
    for start, scale, angle in itertools.product(starts, _SCALES, _ANGLES):
        yield start @ _about(*middle, scale, scale, angle)


def _refined(pairs: Sequence[Pair], matrix: Matrix, model: str, count: int) -> Matrix:
    """Measure each part's shift over all pairs, fit the model to them, and put it before the matrix."""
    size = shape_of(pairs[0][0])
    boxes = list(parts(size, count))
    crosses: list[NDArray[np.complex64]] = [np.zeros(pairs[0][0][box].shape, np.complex64) for box in boxes]
    for first, second in pairs:
        placed = warp_plane(second[..., None], matrix, size[::-1])[..., 0]
        for cross, box in zip(crosses, boxes, strict=True):
            cross += np.conj(spectrum(first[box])) * spectrum(placed[box])
    shifts = [peak_of(cross, _PART_REACH) for cross in crosses]
    matches = [(box, shift) for box, shift in zip(boxes, shifts, strict=True) if shift.peak >= PEAK]
    here = np.array([((x.start + x.stop - 1) / 2, (y.start + y.stop - 1) / 2) for (y, x), _ in matches]).reshape(-1, 2)
    there = here + np.array([(shift.x, shift.y) for _, shift in matches]).reshape(-1, 2)
    least, span = _LEAST[model]
    covered = cv2.contourArea(cv2.convexHull(here.astype(np.float32))) / (size[0] * size[1]) if len(here) > 2 else 0.0
    # the middles of parts span less than the frame
    inner = ((count - 1) / (count + 1)) ** 2
    if len(here) < least or covered < span * inner:
        raise ValueError(
            f"{len(here)} of {len(boxes)} parts of the frame have common edges, and span {covered / inner:.0%} of it: model '{model}' "
            f"needs {least} that span {span:.0%}; take more pairs (--sample), or a simpler model of {list(_LEAST)}"
        )
    fitted = matrix @ _fit(here, there, model)
    return np.asarray(fitted / fitted[2, 2])


def _fit(here: NDArray[np.float64], there: NDArray[np.float64], model: str) -> Matrix:
    if model == "translation":
        return _moved(*np.median(there - here, axis=0).tolist())
    if model == "affine":
        rows, _ = cv2.estimateAffine2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=_INLIER)
        fitted = None if rows is None else np.vstack([rows, [0, 0, 1]])
    else:
        fitted, _ = cv2.findHomography(here, there, cv2.RANSAC, _INLIER)
    if fitted is None:
        raise ValueError(f"the shifts of {len(here)} parts of the frame fit no {model}; take more pairs (--sample)")
    return np.asarray(fitted, np.float64)


def _moved(x: float, y: float) -> Matrix:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def _about(x: float, y: float, across: float, down: float, degrees: float) -> Matrix:
    """Scaling after a turn, about a point."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn: Matrix = _moved(x, y) @ np.diag([across, down, 1.0]) @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ _moved(-x, -y)
    return turn
