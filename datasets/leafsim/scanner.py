"""A laser scanner beside the camera: where its rays meet leaf or ground, and how bright that is at 905 nm."""

from __future__ import annotations

import cv2
import numpy as np
from leaf import SIZE, Map
from numpy.typing import NDArray
from reflectance import ground_reflectance, leaf_reflectance
from scene import Scene
from structure import PIXEL

from xkd.modalities.calibration import Camera

DISTANCE = 0.5  # metres from the camera to the ground
FOCAL = DISTANCE / PIXEL  # pixels
BESIDE = np.array([0.06, 0.0, 0.0])  # the scanner in the camera's frame (x right, y down, z forward), metres
TURNED = np.arctan2(BESIDE[0], DISTANCE)  # to the left, so that both look at the same spot
LINES = 56  # rays along each side of the sweep
OPENING = 0.13  # tangent of half its angle, a little more than the camera's
RANGE_NOISE = 1e-3  # metres, one sigma
SPECKLE = 0.1  # of the intensity, one sigma
LOST = 0.03  # share of rays without return


def scanner_axes() -> Map:
    """(3, 3): directions of the scanner (x ahead, y left, z up) to the camera's frame."""
    cosine, sine = np.cos(TURNED), np.sin(TURNED)
    return np.array([[-sine, -cosine, 0.0], [0.0, 0.0, -1.0], [cosine, -sine, 0.0]])


def calibration() -> Camera:
    """The same for every scene: the rig does not move."""
    centre = (SIZE - 1) / 2  # in OpenCV's pixels, whose centres are whole numbers
    projection = np.array([[FOCAL, 0.0, centre, 0.0], [0.0, FOCAL, centre, 0.0], [0.0, 0.0, 1.0, 0.0]])
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = scanner_axes(), BESIDE
    return Camera(projection, move, (), (SIZE, SIZE))


def sweep(scene: Scene, rng: np.random.Generator) -> NDArray[np.float32]:
    """(N, 4) x, y, z in metres of the scanner and intensity: about 3,000 returns, 2,500 of them in the camera's view.

    A ray stops at the leaf where it meets it, else at the ground, also at what the leaf hides from the camera. The laser brings its own
    light: neither the sun, shadows nor glare matter. Intensity is corrected for range, not for the angle at which a ray arrives.
    """
    rays = _rays(rng)
    on_leaf, distance = _meet(scene, rays)
    points = rays * distance[:, None]
    pixels = _pixels(points @ scanner_axes().T + BESIDE)
    leaf, ground = leaf_reflectance(scene)[1], ground_reflectance(scene.ground)[1]
    # a beam is about as wide as a pixel
    bright = np.where(on_leaf, _look(cv2.GaussianBlur(leaf, (0, 0), 0.6), pixels), _look(ground, pixels))
    bright = bright * np.where(on_leaf, _look(_cosine(scene.structure.leaf_height), pixels), 1.0) * rng.normal(1, 0.03)
    bright = bright * (1 + SPECKLE * rng.standard_normal(len(bright))) + 0.005 * rng.standard_normal(len(bright))
    points = points + rays * (RANGE_NOISE * rng.standard_normal(len(rays)))[:, None]
    kept = rng.uniform(size=len(rays)) > LOST
    return np.column_stack([points, np.clip(bright, 0, 1)])[kept].astype(np.float32)


def _rays(rng: np.random.Generator) -> Map:
    """(N, 3) unit directions of one sweep in the scanner's frame, line by line."""
    steps = (np.arange(LINES) + 0.5) / LINES * 2 - 1
    up, left = np.meshgrid(-steps, -steps, indexing="ij")
    aim = np.stack([up, left]) + rng.uniform(-1, 1, (2, 1, 1)) / LINES + 0.1 / LINES * rng.standard_normal((2, LINES, LINES))
    rays = np.stack([np.ones((LINES, LINES)), OPENING * aim[1], OPENING * aim[0]], -1).reshape(-1, 3)
    unit: Map = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return unit


def _meet(scene: Scene, rays: Map) -> tuple[NDArray[np.bool_], Map]:
    """Whether each ray ends on the leaf, and the distance to where it ends."""
    forward = rays @ scanner_axes()[2]  # metres towards the ground per metre of ray; the scanner is as far from it as the camera
    ends = []
    for height in (scene.structure.leaf_height, scene.structure.ground_height):
        distance = (DISTANCE - float(height.mean())) / forward
        for _ in range(4):  # relief is flat against the rays: each round leaves about a fifth of the error
            pixels = _pixels(rays * distance[:, None] @ scanner_axes().T + BESIDE)
            distance = (DISTANCE - _look(height, pixels)) / forward
        ends.append((distance, pixels))
    (leaf, there), (ground, _) = ends
    on_leaf = _look(scene.leaf.alpha, there, outside=0.0) > 0.5
    return on_leaf, np.where(on_leaf, leaf, ground)


def _pixels(points: Map) -> Map:
    """(N, 2) x and y of points in the camera's frame, pixel centres at whole numbers."""
    pixels: Map = FOCAL * points[:, :2] / points[:, 2:] + (SIZE - 1) / 2
    return pixels


def _look(values: Map, pixels: Map, outside: float | None = None) -> Map:
    """The map's value at each position, bilinear; beyond its edge the nearest one, or `outside`."""
    x, y = pixels.astype(np.float32).T[:, :, None]
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    sampled = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=border, borderValue=0.0 if outside is None else outside)
    return np.asarray(sampled, np.float64)[:, 0]


def _cosine(height: Map) -> Map:
    """Of the angle between a ray along the camera's axis and the surface."""
    slope_y, slope_x = np.gradient(height / PIXEL)
    cosine: Map = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    return cosine
