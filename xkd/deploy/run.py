#!/usr/bin/env python3
"""Run the model of this folder, with numpy, onnxruntime and OpenCV (or Pillow) alone.

python run.py photos/ --out answers.csv | --camera 0 | --video clip.mp4 | bench | check
In your own code: `model = Model()`, then `model.lines("a name", model.read(Path("photo.jpg")))`. What it does stands in plan.json.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

os.environ |= {"OPENCV_IO_MAX_IMAGE_PIXELS": str(2 * 89_478_485), "OPENCV_LOG_LEVEL": "SILENT", **os.environ}  # before OpenCV is

import numpy as np
import onnxruntime

cv2: Any = None  # Pillow takes its place
with suppress(ImportError):
    cv2 = importlib.import_module("cv2")

HERE = Path(__file__).resolve().parent
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".pgm", ".ppm")
PNG, JPEG, SCAN, END = b"\x89PNG", b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
BENCH = ("out", "threads", "warm_up", "repeats")  # its options
Image = Any  # (height, width, channels) in the sensor's unit, colours red first; NaN where nothing was measured


class Model:
    """What `xkd export` wrote; `ValueError` or `OSError` where it cannot be run here. With 0 `threads` the runtime chooses."""

    def __init__(self, threads: int = 0, folder: Path = HERE) -> None:
        self.folder, self.plan = folder, read_plan(folder)
        self.parts = [(part, _session(folder / part["file"], threads)) for part in self.plan["segments"]]

    def read(self, path: Path) -> Image:
        """`ValueError` for a file that is no image of the network's sensor; a network of clips reads strips, as lists of frames."""
        image = self._read(path)
        return beside("streams").cut(image, self.plan) if "clip" in self.plan["image"] else image

    def _read(self, path: Path) -> Image:
        of = self.plan["image"]
        if path.suffix.lower() not in SUFFIXES or of["kind"] not in ("colour", "counts"):
            raise ValueError(f"run.py reads {', '.join(SUFFIXES)} of colour and thermal cameras; other files are read by xkd predict")
        with open(path, "rb", buffering=0) as file:
            data = file.read()
        if (data.startswith(PNG) and data.rfind(b"IEND") < 0) or (data.startswith(JPEG) and data.rfind(END) <= data.rfind(SCAN)):
            raise ValueError(f"the file is cut off after {len(data)} bytes")
        try:
            image, alpha = (_decoded if cv2 else beside("without_opencv").decoded)(data, of["kind"] == "colour")
        except Exception as error:  # each library has kinds of its own for images that are damaged or too large
            raise ValueError(f"cannot be decoded: {str(error).strip() or type(error).__name__}") from error
        if of["kind"] == "counts":
            return beside("counts").in_unit(data, image, alpha, of)
        if image.dtype != np.uint8:
            raise ValueError(f"is {image.dtype}, the network takes colours of 8 bits")
        return image if alpha is None or alpha.all() else np.where(alpha[..., None] > 0, image.astype(np.float32), np.float32(np.nan))

    def prepare(self, image: Image, alone: bool = False) -> Any:
        """(1, channels, height, width) as the network takes it, or of one frame `alone`: with OpenCV equal to training's bit for bit."""
        if "clip" in self.plan["image"] and not alone:
            return beside("streams").prepared(self, image)
        size, dtype = self.plan["input"]["size"], np.dtype(self.plan["input"]["dtype"])
        if image.dtype == np.uint8 or (seen := np.isfinite(image)).all():
            image = _resized(image, size)
        elif not seen.any():
            raise ValueError("no pixel was measured")
        else:  # the mean of what was seen, an ordinary value where that is less than half
            share, values = _resized(seen.astype(np.float32), size), _resized(np.where(seen, image, np.float32(0)), size)
            image = np.where(share >= 0.5, values / np.where(share >= 0.5, share, np.float32(1)), np.float32(self.plan["image"]["outside"]))
        image = np.rint(image) if dtype == np.uint8 != image.dtype else image
        return np.ascontiguousarray(image.astype(dtype, copy=False).transpose(2, 0, 1)[None])

    def steps(self, images: Any) -> Iterator[tuple[Any, Any]]:
        """Each segment of the network, with its answer to one prepared image; `ValueError` where that is not finite."""
        values = {self.plan["input"]["name"]: images}
        for part, session in self.parts:
            values |= zip(part["gives"], session.run(part["gives"], {name: values[name] for name in part["takes"]}), strict=True)
            if not math.isfinite((answer := values[part["answer"]][0]).sum(dtype=np.float64)):  # which no finite values of 32 bits overflow
                raise ValueError("the network's answer is not finite")
            yield part, answer

    def run(self, images: Any) -> Any:
        """The network's answer to one prepared image, by the first exit that is sure enough, or the last; `last` says which and what."""
        for part, answer in self.steps(images):
            if "threshold" in part and beside("exits").stops(part, answer):
                break
        self.last = part, answer
        return answer

    def lines(self, name: str, image: Image, mask: Path | None = None) -> list[list[str]]:
        """Of the table, for one image; `mask` is a file for the class of each pixel."""
        of, answer = self.plan["answer"], self.run(self.prepare(image))
        if of["kind"] == "boxes":
            return [[name, *cells, ""] for cells in beside("boxes").cells(answer, image.shape, of)] or [[name, *[""] * 6, ""]]
        if mask:
            pixels = answer.argmax(0).astype(np.uint8)
            png = cv2.imencode(".png", pixels)[1] if cv2 else beside("without_opencv").as_png(pixels)
            with kept(mask, "wb") as file:
                np.save(file, answer) if of["kind"] == "levels" else file.write(png)
        if of["kind"] in ("numbers", "levels"):
            cells = answer if answer.ndim == 1 else np.stack([answer.mean((1, 2)), answer.min((1, 2)), answer.max((1, 2))], 1).ravel()
            return [[name, *(f"{value:.6g}" for value in cells.tolist()), ""]]
        if of["kind"] == "pixels":
            answer = np.bincount(answer.argmax(0).ravel(), minlength=len(answer)).astype(np.float32) / np.float32(answer[0].size)
        chosen = np.flatnonzero(answer > 0.5) if of["kind"] == "several" else [answer.argmax()]
        return [[name, ";".join(of["names"][k] for k in chosen), *(f"{value:.4f}" for value in answer.tolist()), ""]]


def read_plan(folder: Path) -> Any:
    """What plan.json holds; `ValueError` where a file beside it is not the one that was exported, or the runtime is too old."""
    try:
        plan = json.loads((folder / "plan.json").read_text("utf-8"))
        needed, digests, last = plan["runtime"]["onnxruntime"], plan["sha256"].items(), plan["segments"][-1]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{folder / 'plan.json'} is damaged: {error!r}; copy the folder again") from error
    if plan["format"] != 1:
        raise ValueError(f"{folder / 'plan.json'} is of format {plan['format']}, this run.py reads 1: export the folder again")
    for name, digest in digests:
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise ValueError(f"{folder / name} is not the file that was exported, its checksum differs: copy the folder again")
    if "threshold" in last:
        raise ValueError(f"{folder / 'plan.json'} has a threshold for the last segment, after which there is no exit: take it out")
    if [int(n) for n in onnxruntime.__version__.split(".")[:2]] < [int(n) for n in needed.split(".")[:2]]:
        raise ValueError(f"onnxruntime {onnxruntime.__version__} is too old: this model needs {needed} or newer")
    return plan


def beside(name: str) -> Any:
    """A module of this folder."""
    sys.path[:0] = [str(HERE)] * (str(HERE) not in sys.path)
    return importlib.import_module(name)


def _session(path: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait would empty a battery
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has kinds of its own
        raise ValueError(f"onnxruntime {onnxruntime.__version__} cannot run {path}: {error}") from error


def _decoded(data: bytes, colours: bool) -> tuple[Image, Any]:
    """The image and its alpha, or None."""
    content = np.frombuffer(data, np.uint8)
    flags = cv2.IMREAD_ANYDEPTH | (cv2.IMREAD_COLOR_RGB if colours else cv2.IMREAD_ANYCOLOR)
    if (data.startswith(PNG) and (data[25] in (4, 6) or b"tRNS" in data[: data.find(b"IDAT")])) or data[8:12] == b"WEBP":
        image = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        if image is not None and image.ndim == 3 and image.shape[2] == 4:
            if b"eXIf" in data or b"EXIF" in data:
                raise ValueError("it has an alpha channel and may be stored turned; write it upright, without EXIF")
            return image[..., 2::-1], image[..., 3]
    if (image := cv2.imdecode(content, flags)) is None:
        raise ValueError("it is no image that OpenCV knows")
    return image[..., None] if image.ndim == 2 else image if colours else image[..., ::-1], None


def _resized(image: Image, size: Sequence[int]) -> Image:
    """By area where a side shrinks to half or less, else bilinear, as in training."""
    height, width = image.shape[:2]
    small = (min(height, size[0]), min(width, size[1])) if height >= 2 * size[0] or width >= 2 * size[1] else ()
    if cv2 is None:
        return beside("without_opencv").resized(image, size, small)
    image = cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA) if small else image
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR).reshape(*size, -1)


@contextmanager
def kept(path: Path | None, mode: str = "w") -> Iterator[Any]:
    """A file that takes its name once all of it is written; None is the screen."""
    if path is None:
        yield sys.stdout
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, mode, encoding="utf-8" if mode == "w" else None, newline="" if mode == "w" else None) as file:
            yield file
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def photos(places: Sequence[str], masks: str, suffix: str) -> Iterator[tuple[str, Path, Path | None]]:
    """Of files and of folders: a name, the file, and the file for its mask."""
    owners: dict[Path, Path] = {}
    for place in places:
        is_folder, files = os.path.isdir(place), [Path(place)]
        if is_folder:
            files = sorted(path for path in files[0].rglob("*") if path.suffix.lower() in SUFFIXES)
        if not files or not (is_folder or os.path.exists(place)):
            raise FileNotFoundError(f"no image {place}")
        for path in files:
            mask = None
            if masks:
                mask = (Path(masks) / path.relative_to(place if is_folder else path.parent)).with_suffix(suffix)
                if owners.setdefault(mask, path) != path:
                    raise ValueError(f"--masks: {owners[mask]} and {path} would both be {mask}; ask about them apart")
            yield str(path), path, mask


def stretched(plan: Any, image: Image) -> bool:
    """Whether a side is half as long again, against the other, as in what the network sees, which knows whole images."""
    if plan["crops"] or "clip" in plan["image"]:
        return False
    (high, wide), (height, width) = plan["input"]["size"], image.shape[:2]
    return not 2 * height * wide < 3 * width * high < 4.5 * height * wide


def table(model: Model, a: argparse.Namespace) -> int:
    """A line for each image; 1 where some could not be read."""
    of, moving, failed, odd = model.plan["answer"], a.camera is not None or a.video, 0, 0
    if moving and (cv2 is None or model.plan["image"]["kind"] != "colour"):
        raise ValueError("a camera or a video needs OpenCV (pip install opencv-python-headless) and a network that takes colours")
    if model.plan["crops"] and not a.whole_images:
        raise ValueError("the network learned from crops of images: if yours are such crops, add --whole-images")
    if a.masks and not of["suffix"]:
        raise ValueError("--masks is for networks that answer for each pixel")
    every: Any = beside("streams").Stream(model.plan, a) if moving else photos(a.what, a.masks, of["suffix"])
    with kept(a.out) as file, suppress(KeyboardInterrupt):  # which is how a camera is ended
        write = csv.writer(file).writerows
        write([["file", *of["columns"], "error"]])
        for name, image, mask in every:
            try:
                write(model.lines(name, image := image if moving else model.read(image), mask))
                odd += stretched(model.plan, image)
            except (ValueError, OSError, MemoryError) as error:
                write([[name, *[""] * len(of["columns"]), f"{name}: {error or 'out of memory'}"]])
                failed += 1
    if moving:
        print(every.told(), file=sys.stderr)
    if odd:
        print(f"beware: {odd} images have other proportions than what the network sees, and were stretched to it", file=sys.stderr)
    return int(failed > 0)


def check_used(parser: argparse.ArgumentParser, word: str) -> None:
    """What was asked for is done or refused: `bench` and `check` mind few of the options, images not theirs."""
    every = vars(parser.parse_args([]))
    given = vars(parser.parse_args(namespace=argparse.Namespace(**dict.fromkeys(every))))  # None is what was not named
    legal = {"bench": BENCH, "check": ("threads",)}.get(word) or [key for key in every if key not in ("warm_up", "repeats")]
    for key in every:
        if key != "what" and given[key] is not None and key not in legal:
            options = ", ".join(f"--{one.replace('_', '-')}" for one in legal if one != "what")
            parser.error(f"--{key.replace('_', '-')} is nothing to {word or 'images'}; legal here: {options}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="image files, folders (searched for images), or one of: bench, check")
    parser.add_argument("--camera", type=int, metavar="NUMBER")
    parser.add_argument("--video", metavar="FILE")
    parser.add_argument("--fps", type=float, metavar="N", help="clips of a camera or video: frames a second that the network knows")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the table, or the timings; without it, on the screen")
    parser.add_argument("--masks", default="", metavar="FOLDER", help="for a file of what each pixel is: classes as PNG, numbers as .npy")
    parser.add_argument("--whole-images", action="store_true", help="ask a network that learned from crops about images as they are")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="0: as the runtime chooses")
    parser.add_argument("--warm-up", type=int, default=20, metavar="N", help="bench: runs before those that count")
    parser.add_argument("--repeats", type=int, default=200, metavar="N", help="bench: runs of each round")
    asked: Any = beside("exits").with_options(parser, table, Model) if (HERE / "exits.py").exists() else table
    a = parser.parse_args()
    moving = (a.camera is not None) + (a.video is not None)
    if moving + bool(a.what) != 1:
        parser.error("name one of these: images and folders, --camera, --video, bench, check")
    if a.fps is not None and not moving:
        parser.error("--fps is for a camera or a video")
    check_used(parser, word := a.what[0] if a.what in (["bench"], ["check"]) else "")
    if word == "check" and not os.environ.get("XKD_CHECKED"):  # in a process of its own: an instruction that is missing ends it
        done = subprocess.run([sys.executable, *sys.argv], env=os.environ | {"XKD_CHECKED": "1"}, check=False)
        if done.returncode < 0:
            print(f"run.py: onnxruntime {onnxruntime.__version__} ends with signal {-done.returncode} here; try another of its versions")
        return abs(done.returncode)
    try:
        model = Model(a.threads)
        if word == "bench":
            with kept(a.out) as file:
                file.write(beside("measured").bench(model, a.threads, a.warm_up, a.repeats))
            return 0
        code: int = beside("measured").check(model, bool(cv2)) if word == "check" else asked(model, a)
        return code
    except (ValueError, OSError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
