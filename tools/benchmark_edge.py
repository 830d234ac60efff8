"""What does int8 cost in accuracy, and what does it save? And what does run.py cost beside a loop written by hand?

    XKD_DATA_ROOT=data python tools/benchmark.py edge configs/rgb_thermal/leafsim_demo.py work_dirs/leafsim/best.pth --images 600

The student is exported twice into a folder, in float32 and in int8, as `xkd export` does, with nothing refused. Accuracy is that of each
file on val and test, from its card; milliseconds are `run.py bench`'s, one image, one thread. Images per second are of the test split's
files, as often as it takes to have `--images`: by `run.py` and by a loop around `cv2.imread`, `cv2.resize` and
`InferenceSession.run`, in turn in this process, without the time to start, of `--rounds` the best. Growth is that of this process's
memory while run.py goes over all images, after a tenth of them; give `--images 10000` to see whether it is flat.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from rich.table import Table

from xkd.data.manifest import Manifest
from xkd.engine.config import load_config
from xkd.engine.int8 import Int8
from xkd.engine.screen import Screen
from xkd.engine.use import export

_ALL = 0.999  # may be lost: the table says what is


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args(arguments)
    console, config = Screen(), load_config(a.config)
    table = Table("", "accuracy val", "accuracy test", "ms", "MB", "run.py, images/s", "by hand, images/s", "share", "growth, MB")
    with tempfile.TemporaryDirectory() as root:
        for precision in ("float32", "int8"):
            folder = Path(root) / precision
            int8 = Int8(lose_at_most=_ALL) if precision == "int8" else None
            export(config, a.checkpoint, folder, int8=int8)
        card = json.loads((Path(root) / "int8" / "card.json").read_text("utf-8"))
        files = list(itertools.islice(itertools.cycle(test_files(config)), a.images))
        for precision in ("float32", "int8"):
            folder = Path(root) / precision
            scores = [f"{card['quantisation']['scores'][split][precision]['accuracy']:.4f}" for split in ("val", "test")]
            runner, loop, growth = speeds(folder, files, a.rounds, a.threads)
            told = bench(folder, a.threads)
            size = (folder / "model.onnx").stat().st_size / 1e6
            table.add_row(
                precision,
                *scores,
                f"{told['median_ms']:.3f} +- {told['interquartile_range_ms'] / 2:.3f}",
                f"{size:.2f}",
                f"{runner:.0f}",
                f"{loop:.0f}",
                f"{runner / loop:.3f}",
                f"{growth:+.1f}",
            )
    console.print(table)
    console.print(
        f"{a.config}, {len(files)} images, {a.threads} thread, load {os.getloadavg()[0]:.1f}, onnxruntime {onnxruntime.__version__}"
    )
    return 0


def test_files(config: Any) -> list[Path]:
    """Of the student's one sensor."""
    section = config.distiller
    view = section.branches[section.student].view
    manifest = Manifest.load(config.test_dataloader.dataset.root)
    column = view["modality"]["column"]
    return [manifest.root / row.files[column][0] for row in manifest.rows if row.split == "test"]


def speeds(folder: Path, files: Sequence[Path], rounds: int, threads: int) -> tuple[float, float, float]:
    """Images per second by run.py and by hand, and how much the process grew in megabytes during run.py's first round."""
    run = load(folder)
    model = run.Model(threads)
    by_hand, growth = hand_written(folder, threads), 0.0
    best = {"run.py": 0.0, "by hand": 0.0}
    for number in range(rounds):
        middle, start = 0.0, time.perf_counter()
        options = argparse.Namespace(
            what=[str(file) for file in files], camera=None, video=None, masks="", whole_images=True, out=folder.parent / "answers.csv"
        )
        if number == 0:
            options.what = [str(file) for file in files[: len(files) // 10]]
            run.table(model, options)
            middle, start = resident(), time.perf_counter()
            options.what = [str(file) for file in files]
        run.table(model, options)
        best["run.py"] = max(best["run.py"], len(files) / (time.perf_counter() - start))
        growth = resident() - middle if number == 0 else growth
        start = time.perf_counter()
        by_hand(files)
        best["by hand"] = max(best["by hand"], len(files) / (time.perf_counter() - start))
    return best["run.py"], best["by hand"], growth


def hand_written(folder: Path, threads: int) -> Any:
    """What one writes without run.py; it prepares images in the same way."""
    plan = json.loads((folder / "plan.json").read_text("utf-8"))
    height, width = plan["input"]["size"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def loop(files: Sequence[Path]) -> list[int]:
        answers = []
        for file in files:
            image = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)
            assert image is not None
            way = cv2.INTER_AREA if image.shape[0] >= 2 * height or image.shape[1] >= 2 * width else cv2.INTER_LINEAR
            small = cv2.resize(image, (width, height), interpolation=way)
            [answer] = session.run(["probabilities"], {"images": np.ascontiguousarray(small.transpose(2, 0, 1))[None]})
            answers.append(int(answer[0].argmax()))
        return answers

    return loop


def load(folder: Path) -> Any:
    """The folder's run.py as a module."""
    spec = importlib.util.spec_from_file_location(f"run_{folder.name}", folder / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bench(folder: Path, threads: int) -> dict[str, Any]:
    """What `run.py bench` says."""
    command = [sys.executable, str(folder / "run.py"), "bench", "--threads", str(threads)]
    told: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told


def resident() -> float:
    """Megabytes of this process that are in memory now (Linux)."""
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
