"""Print what lesions and look-alikes are in each sensor, pixel by pixel and without any network.

    python datasets/leafsim/contrast.py --num-scenes 200

README.md beside this file shows the result and says how to read it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping

import cv2
import numpy as np
from energy import KELVIN_PER_COUNT
from leaf import SIZE, Map
from lesions import CLASSES
from numpy.typing import NDArray
from scanner import calibration, sweep
from scene import DIFFICULTIES, Scene, draw_scene, stream
from sensors import multispectral_bands, rgb_image, thermal_image

Pixels = NDArray[np.bool_]

SENSORS = ("rgb", "thermal", "ndvi", "intensity")
LOOKALIKES = {"dirt": 0.25, "mud": 0.25, "deficiency": 0.2, "glare": 0.15, "shadow": 0.25}  # from where on a pixel counts


def readings(scene: Scene, seed: int, index: int) -> dict[str, Map]:
    """(SIZE, SIZE, C) of each sensor; NaN where the scanner has no return."""
    red, near = (band.astype(np.float64) for band in multispectral_bands(scene, stream(seed, index, "ndvi")))
    points = sweep(scene, stream(seed, index, "lidar"))
    pixels, depth = calibration().project(points[:, :3])
    inside = ((pixels >= 0) & (pixels < SIZE)).all(1)
    order = np.argsort(-depth[inside])  # the nearest last: it stays
    column, row = np.floor(pixels[inside][order]).astype(int).T
    intensity = np.full((SIZE, SIZE), np.nan)
    intensity[row, column] = points[inside][order, 3]
    return {
        "rgb": np.log(rgb_image(scene, stream(seed, index, "rgb")) + 3.0),
        "thermal": KELVIN_PER_COUNT * thermal_image(scene, stream(seed, index, "thermal"))[..., None],
        "ndvi": ((near - red) / (near + red))[..., None],
        "intensity": intensity[..., None],
    }


def areas(scene: Scene) -> Iterator[tuple[str, Pixels]]:
    """Parts of the blade: `lesion`, `rest` (away from lesions, look-alikes and all), `clean`, and each look-alike by itself."""
    blade = scene.leaf.blade & (scene.mask > 0)
    rest = blade & (cv2.GaussianBlur(scene.infection, (0, 0), 2.5) < 0.03)
    amounts = {name: getattr(scene.lookalikes, name) for name in LOOKALIKES}
    free = {name: amount < 0.05 for name, amount in amounts.items()}
    yield "lesion", blade & (scene.mask == 2)
    yield "rest", rest
    yield "clean", rest & np.logical_and.reduce(list(free.values()))
    for name, least in LOOKALIKES.items():
        yield name, rest & (amounts[name] > least) & np.logical_and.reduce([there for other, there in free.items() if other != name])


def told_apart(lesion: Map, rest: Map) -> float:
    """Share of (lesion pixel, other pixel) pairs that one threshold orders rightly, on Fisher's direction where there are channels."""
    if lesion.shape[1] > 1:
        spread = np.cov(lesion.T) + np.cov(rest.T)
        direction = np.linalg.solve(spread, lesion.mean(0) - rest.mean(0))
        lesion, rest = (lesion @ direction)[:, None], (rest @ direction)[:, None]
    ordered = np.sort(rest[:, 0])
    below = (np.searchsorted(ordered, lesion[:, 0], "left") + np.searchsorted(ordered, lesion[:, 0], "right")) / 2
    share = float(below.mean() / len(ordered))
    return max(share, 1 - share)


def measure(difficulty: str, label: str, seed: int, num_scenes: int) -> Mapping[tuple[str, str], tuple[Map, Map]]:
    """(sensor, area) -> all its pixels (N, C) of the class: as they are, and relative to the median of their leaf."""
    samples: dict[tuple[str, str], list[tuple[Map, Map]]] = defaultdict(list)
    for index in range(CLASSES.index(label), num_scenes, len(CLASSES)):
        scene = draw_scene(seed, index, DIFFICULTIES[difficulty])
        for sensor, image in readings(scene, seed, index).items():
            seen = np.isfinite(image).all(2)
            middle = np.median(image[seen & scene.leaf.blade], axis=0)
            for area, pixels in areas(scene):
                values = image[pixels & seen]
                samples[sensor, area].append((values, values - middle))
    return {key: (np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])) for key, parts in samples.items()}


def mean(values: Map) -> str:
    """Of all pixels; a dash where there are none."""
    return f"{values.mean():.2f}" if len(values) else "-"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="What lesions and look-alikes are in each sensor.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-scenes", type=int, default=200, help="per difficulty")
    options = parser.parse_args()
    print(f"| difficulty | class | NDVI clean | lesion | intensity clean | lesion | {' | '.join(SENSORS)} |\n{'|---' * 10}|")
    for difficulty in DIFFICULTIES:
        for label in CLASSES[1:]:
            samples = measure(difficulty, label, options.seed, options.num_scenes)
            means = [mean(samples[sensor, area][0]) for sensor in ("ndvi", "intensity") for area in ("clean", "lesion")]
            shares = [told_apart(samples[sensor, "lesion"][1], samples[sensor, "rest"][1]) for sensor in SENSORS]
            cells = [difficulty, label, *means, *(f"{share:.3f}" for share in shares)]
            print(f"| {' | '.join(cells)} |")
    healthy = measure("standard", "healthy", options.seed, options.num_scenes)
    print("\n| on healthy leaves, standard | NDVI | intensity |\n|---|---|---|")
    for area in ("clean", *LOOKALIKES):
        print(f"| {area} | {mean(healthy['ndvi', area][0])} | {mean(healthy['intensity', area][0])} |")


if __name__ == "__main__":
    main()
