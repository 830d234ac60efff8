"""run.py of a deployed folder: it reads and prepares an image as training does, and its lines are those of `xkd predict`."""

from __future__ import annotations

import argparse
import csv
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch
from edge_folders import CLASSES, load_runner, told_model
from PIL import Image

from xkd.batch import Number, View
from xkd.commands.predict import as_csv
from xkd.data.images import read_sample
from xkd.engine.box_files import as_box_table
from xkd.engine.use import Prediction
from xkd.geometry import Box
from xkd.modalities import RGB, Thermal
from xkd.tasks import Classification, Dense, Detection, Regression, Segmentation, Task

RGB_VIEW = View("rgb", RGB(), (24, 32))
ONE = Classification(CLASSES)


@pytest.fixture(scope="module")
def run() -> ModuleType:
    return load_runner()


def picture(height: int, width: int, *channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", image)[1])


def photo(image: np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def holed(height: int, width: int) -> np.ndarray:
    image = picture(height, width, 4)
    image[..., 3] = 255
    image[: height // 2, : width // 3, 3] = 0
    return image


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "averaged": ("a.png", lambda: png(picture(70, 99, 3))),
    "reduced": ("a.png", lambda: png(picture(41, 57, 3))),
    "enlarged": ("a.png", lambda: png(picture(11, 9, 3))),
    "wide": ("a.png", lambda: png(picture(11, 99, 3))),
    "grey": ("a.PNG", lambda: png(picture(50, 60))),
    "palette": ("a.png", lambda: photo_of_palette()),
    "bitmap": ("a.bmp", lambda: photo(picture(50, 60, 3), "BMP")),
    "jpeg": ("a.jpg", lambda: photo(picture(50, 60, 3), "JPEG")),
    "grey jpeg": ("a.jpeg", lambda: photo(picture(50, 60), "JPEG")),
    "turned": ("a.jpg", lambda: photo(picture(50, 60, 3), "JPEG", exif=turned())),
    "webp": ("a.webp", lambda: photo(picture(50, 60, 3), "WEBP", lossless=True)),
    "opaque": ("a.png", lambda: png(np.dstack([picture(50, 60, 3), np.full((50, 60), 255, np.uint8)]))),
    "transparent": ("a.png", lambda: png(holed(50, 60))),
    "transparent webp": ("a.webp", lambda: photo(holed(50, 60), "WEBP", lossless=True, exact=True)),
}


def photo_of_palette() -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(50, 60, 3)).quantize(16).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_colours_are_prepared_as_in_training(name: str, run: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / FILES[name][0]
    path.write_bytes(FILES[name][1]())
    model = told_model(run, RGB_VIEW, ONE)
    prepared = model.prepare(model.read(path))
    assert (prepared.dtype, prepared.flags.c_contiguous) == (np.uint8, True)
    np.testing.assert_array_equal(prepared[0], read_sample(path, RGB_VIEW).views["rgb"].numpy())


@pytest.mark.parametrize("name", FILES)
def test_without_opencv(name: str, run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / FILES[name][0]
    path.write_bytes(FILES[name][1]())
    monkeypatch.setattr(run, "cv2", None)
    model = told_model(run, RGB_VIEW, ONE)
    far = np.abs(model.prepare(model.read(path))[0] - read_sample(path, RGB_VIEW).views["rgb"].numpy().astype(float))
    assert far.max() <= 1
    assert far.mean() < 0.15


KELVIN = Thermal(unit="K", scale=0.01, range=(285.0, 310.0))


@pytest.mark.parametrize("has_opencv", [True, False])
@pytest.mark.parametrize(
    ("sensor", "holes"),
    [
        (KELVIN, False),
        (replace(KELVIN, nodata=7.0), True),
        (replace(KELVIN, unit="degC", offset=-273.15, range=(10.0, 40.0), mean=(), std=()), False),
        (Thermal(encoding="percentile", nodata=7.0), True),
    ],
    ids=["kelvin", "holes", "celsius", "percentile"],
)
def test_counts_are_prepared_as_in_training(
    sensor: Thermal, holes: bool, has_opencv: bool, run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = np.random.default_rng(0).integers(29000, 30500, (50, 70), dtype=np.uint16)
    if holes:
        counts[10:30, 20:50] = 7
    (tmp_path / "a.png").write_bytes(png(counts))
    if not has_opencv:
        monkeypatch.setattr(run, "cv2", None)
    view = View("thermal", sensor, (24, 32))
    model = told_model(run, view, ONE)
    expected = read_sample(tmp_path / "a.png", view).views["thermal"].numpy()
    np.testing.assert_allclose(model.prepare(model.read(tmp_path / "a.png"))[0], expected, atol=0 if has_opencv else 1e-4, rtol=0)


def absurd() -> bytes:
    """The header of a PNG of 60000 x 60000."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    parts = [header, b"IDAT" + data, b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in parts)


@pytest.mark.parametrize("has_opencv", [True, False])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.png", absurd(), "cannot be decoded"),
        ("a.png", b"", "cannot be decoded"),
        ("a.png", png(picture(50, 60, 3))[:-20], "cut off after"),
        ("a.jpg", photo(picture(50, 60, 3), "JPEG")[:-20], "cut off after"),
        ("a.png", png(picture(50, 60).astype(np.uint16)), "16, the network takes colours of 8 bits"),
        ("a.png", png(np.zeros((50, 60, 4), np.uint8)), "no pixel was measured"),
        ("a.tif", b"II*\0", "other files are read by xkd predict"),
    ],
)
def test_files_that_are_refused(
    name: str, content: bytes, said: str, has_opencv: bool, run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(content)
    if not has_opencv:
        monkeypatch.setattr(run, "cv2", None)
    model = told_model(run, RGB_VIEW, ONE)
    with pytest.raises(ValueError, match=said):
        model.prepare(model.read(tmp_path / name))


@pytest.mark.parametrize(
    ("image", "said"),
    [(picture(50, 60, 3), "a picture in colours"), (np.full((50, 60), 100, np.uint16), "its mean is 1, far outside the range 285 to 310")],
)
def test_counts_that_are_refused(image: np.ndarray, said: str, run: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(image))
    with pytest.raises(ValueError, match=said):
        told_model(run, View("thermal", KELVIN, (24, 32)), ONE).read(tmp_path / "a.png")


def asked(run: ModuleType, model: Any, tmp_path: Path, **options: Any) -> tuple[int, list[list[str]]]:
    """Exit code and lines of the table."""
    plain: dict[str, Any] = {"what": [], "camera": None, "video": None, "fps": None, "masks": "", "whole_images": False}
    plain["out"] = tmp_path / "answers.csv"
    code = run.table(model, argparse.Namespace(**plain | options))
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
        return code, list(csv.reader(file))


BOXES = torch.tensor([[0.1, 0.2, 0.5, 0.6, 0.9, 1.0], [0.0, 0.0, 0.3, 0.3, 0.4, 0.0], [0.5, 0.5, 0.9, 0.9, 0.1, 0.0]])


def dense(boxes: torch.Tensor) -> torch.Tensor:
    """Places (n, 9 + 2) of which these are the boxes."""
    logit = torch.logit(boxes[:, 4] ** 2)
    logits = torch.full((len(boxes), 2), -20.0).scatter(1, boxes[:, 5:].long(), logit[:, None])
    return torch.cat([boxes[:, :4], torch.full((len(boxes), 1), 20.0), logits, torch.zeros(len(boxes), 4)], 1)


@pytest.mark.parametrize(
    ("task", "output"),
    [
        (ONE, torch.tensor([0.1, 2.0, -1.0])),
        (Classification(CLASSES, multilabel=True), torch.tensor([0.1, 2.0, -1.0])),
        (Classification(CLASSES, multilabel=True), torch.tensor([-3.0, -2.0, -1.0])),
        (Segmentation(CLASSES), torch.randn(3, 24, 32, generator=torch.Generator().manual_seed(0))),
        (Regression((Number("area", "%", (0, 100)), Number("age", "", (0, 9)))), torch.tensor([12.3456789, 3.0, 0.5, 0.5])),
        (Dense((Number("depth", "m", (1, 80)), Number("ndvi", "", (-1, 1)))), torch.linspace(1, 9, 2 * 24 * 32).reshape(2, 24, 32)),
        (Detection(("person", "car")), dense(BOXES)),
        (Detection(("person", "car")), dense(BOXES[2:])),
    ],
    ids=["one", "several", "none of several", "pixels", "numbers", "levels", "boxes", "no box"],
)
def test_lines_are_those_of_xkd_predict(task: Task, output: torch.Tensor, run: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(picture(50, 60, 3)))
    reply = task.answer(task.predict(output[None])[0])
    prediction = Prediction(path, reply, frame=Box(0, 0, 60, 50), size=(60, 50), names=task.names)
    expected = as_csv([prediction], task.columns) if reply.boxes is None else as_box_table([prediction])
    model = told_model(run, RGB_VIEW, task, task.deployed(output[None])[0].numpy())
    code, lines = asked(run, model, tmp_path, what=[str(path)])
    assert code == 0
    assert lines == list(csv.reader(io.StringIO(expected)))


def test_what_cannot_be_read_has_its_line(run: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    (tmp_path / "photos" / "deep" / "good.PNG").write_bytes(png(picture(50, 60, 3)))
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "photos" / "notes.txt").write_text("no image", "utf-8")
    code, (header, broken, good) = asked(run, told_model(run, RGB_VIEW, ONE, [0.2, 0.5, 0.3]), tmp_path, what=[str(tmp_path / "photos")])
    assert code == 1
    assert header == ["file", "prediction", *CLASSES, "error"]
    assert "broken.jpg: the file is cut off after 2 bytes" in broken[-1]
    assert good[1:] == ["disc", "0.2000", "0.5000", "0.3000", ""]


def test_an_answer_that_is_not_finite_is_an_error(run: ModuleType) -> None:
    class Session:
        def run(self, gives: list[str], given: dict[str, Any]) -> list[np.ndarray]:
            return [np.array([[np.nan]])]

    model = told_model(run, RGB_VIEW, ONE)
    del model.run
    model.plan["input"]["name"] = "images"
    model.parts = [({"takes": ["images"], "gives": ["answer"], "answer": "answer"}, Session())]
    with pytest.raises(ValueError, match="not finite"):
        model.run(np.zeros((1, 3, 24, 32), np.uint8))


@pytest.mark.parametrize("has_opencv", [True, False])
def test_masks_lie_as_the_images_do(has_opencv: bool, run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("left/1.png", "right/1.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        (tmp_path / "photos" / name).write_bytes(png(picture(50, 60, 3)))
    if not has_opencv:
        monkeypatch.setattr(run, "cv2", None)
    answer = np.random.default_rng(0).random((3, 24, 32), np.float32)
    model = told_model(run, RGB_VIEW, Segmentation(CLASSES), answer)
    assert asked(run, model, tmp_path, what=[str(tmp_path / "photos")], masks=str(tmp_path / "masks"))[0] == 0
    for name in ("left/1.png", "right/1.png"):
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / "masks" / name), cv2.IMREAD_UNCHANGED), answer.argmax(0))


def test_numbers_of_pixels_are_kept_as_they_are(run: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png(picture(50, 60, 3)))
    answer = np.random.default_rng(0).random((1, 24, 32), np.float32)
    model = told_model(run, RGB_VIEW, Dense((Number("depth", "m", (1, 80)),)), answer)
    assert asked(run, model, tmp_path, what=[str(tmp_path)], masks=str(tmp_path / "masks"))[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "masks" / "1.npy"), answer)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"what": ["nowhere"]}, "no image nowhere"),
        ({"what": ["."], "masks": "m"}, "--masks is for networks that answer for each pixel"),
        ({"camera": 97}, "camera 97 cannot be opened"),
        ({"video": "nothing.mp4"}, "video nothing.mp4 cannot be opened"),
    ],
)
def test_what_cannot_be_done_leaves_no_table(
    options: dict[str, Any], said: str, run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError), match=said):
        asked(run, told_model(run, RGB_VIEW, ONE), tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_two_images_never_share_a_mask(run: ModuleType, tmp_path: Path) -> None:
    for name in ("1.png", "1.bmp"):
        cv2.imwrite(str(tmp_path / name), picture(50, 60, 3))
    model = told_model(run, RGB_VIEW, Segmentation(CLASSES), np.zeros((3, 24, 32), np.float32))
    with pytest.raises(ValueError, match=r"1\.bmp and .*1\.png would both be"):
        asked(run, model, tmp_path, what=[str(tmp_path)], masks=str(tmp_path / "masks"))


def test_a_video(run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48))
    for shade in (10, 120, 240):
        writer.write(np.full((48, 64, 3), (shade, 0, 0), np.uint8))
    writer.release()
    model = told_model(run, RGB_VIEW, ONE, [0.2, 0.5, 0.3])
    seen: list[np.ndarray] = []
    model.run = lambda images: seen.append(images) or np.array([0.2, 0.5, 0.3])
    code, lines = asked(run, model, tmp_path, video=str(tmp_path / "clip.avi"))
    assert (code, [line[0].rpartition("#")[2] for line in lines[1:]]) == (0, ["0", "1", "2"])
    blue = [image[0, 2].mean() for image in seen]
    assert blue == pytest.approx([10, 120, 240], abs=8)
    assert max(image[0, 0].mean() for image in seen) < 20
    monkeypatch.setattr(run, "cv2", None)
    with pytest.raises(ValueError, match="needs OpenCV"):
        asked(run, model, tmp_path, video=str(tmp_path / "clip.avi"))


def test_a_camera_ends_with_a_key(run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = (True, picture(50, 60, 3))
    camera = Mock(**{"isOpened.return_value": True, "read.side_effect": [frame, frame, KeyboardInterrupt]})
    monkeypatch.setattr(run.cv2, "VideoCapture", Mock(return_value=camera))
    code, lines = asked(run, told_model(run, RGB_VIEW, ONE, [0.2, 0.5, 0.3]), tmp_path, camera=0)
    assert (code, [line[0] for line in lines]) == (0, ["file", "0#0", "0#1"])


def test_whole_images_are_not_asked_about_by_mistake(run: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(picture(50, 60, 3)))
    model = told_model(run, RGB_VIEW, ONE, [0.2, 0.5, 0.3])
    model.plan["crops"] = True
    with pytest.raises(ValueError, match="learned from crops"):
        asked(run, model, tmp_path, what=[str(tmp_path)])
    assert asked(run, model, tmp_path, what=[str(tmp_path)], whole_images=True)[0] == 0


def test_thermal_networks_take_no_camera(run: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a network that takes colours"):
        asked(run, told_model(run, View("thermal", KELVIN, (24, 32)), ONE), tmp_path, camera=0)
