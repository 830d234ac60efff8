"""The benchmark runs, and its three sides do the same work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
LEAK = """
from mmengine.hooks import Hook

class Leak(Hook):
    def __init__(self):
        self.kept = []

    def after_train_iter(self, *_, **__):
        self.kept.append(bytearray(b"x" * 1_000_000))
"""


@pytest.mark.slow
def test_the_three_sides_end_at_one_loss(tmp_path: Path) -> None:
    prepare = ["datasets/leafsim/prepare.py", "--out", str(tmp_path / "leafsim"), "--num-scenes", "110", "--workers", "1"]
    environment = {**os.environ, "XKD_DATA_ROOT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    for command in (prepare, ["tools/benchmark.py", "runner", "--rounds", "1"]):
        done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if re.match(r". (Runner|Distiller in a plain loop|all by hand) ", line)]
    losses = [float(row.rstrip(" \N{BOX DRAWINGS LIGHT VERTICAL}").split()[-1]) for row in rows]
    assert len(losses) == 3
    assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-2)


@pytest.mark.slow
def test_losses_are_timed_beside_torchdistills() -> None:
    done = subprocess.run(
        [sys.executable, "tools/benchmark.py", "losses", "--repeats", "1"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("│")[1:-1] for line in done.stdout.splitlines() if line.startswith("│")]
    assert len(rows) == 11
    assert all(float(row[2]) > 0 for row in rows)
    assert all(float(row[5]) >= 0 for row in rows)


@pytest.mark.slow
def test_a_detectors_step_is_that_of_torchvisions_losses() -> None:
    small = ["--backbone", "resnet10t", "--size", "64", "96", "--batch", "2", "--turns", "2", "--warm", "1"]
    command = [sys.executable, "tools/benchmark.py", "detector", *small]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split("│")[1:-1] for line in done.stdout.splitlines() if line.startswith("│")]
    assert [row[0].strip() for row in rows] == ["by hand", "xkd"]
    assert float(rows[0][3]) == pytest.approx(float(rows[1][3]), rel=1e-4)


@pytest.mark.slow
def test_a_training_step_is_timed_beside_the_others(tmp_path: Path) -> None:
    peer = tmp_path / "peer.py"
    peer.write_text(
        "def torchdistill_loop(*job): return 10.0\ndef plain_loop(*job): return 20.0\ndef fast_loop(*job, cached): return 30.0\n", "utf-8"
    )
    networks = ["--teacher", "resnet10t", "--student", "resnet10t", "--size", "64"]
    small = [*networks, "--batch", "4", "--steps", "2", "--warm", "1", "--rounds", "1"]
    more = ["--parts", "--memory", "--profile", "--also", "float32", "processes", "--peer", str(peer)]
    done = subprocess.run(
        [sys.executable, "tools/benchmark.py", "training", *small, *more], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if line.startswith("│")]
    names = [row[0] for row in rows]
    for name in (
        "by hand",
        "by hand, cached",
        "xkd",
        "xkd, cached",
        "xkd, float32",
        "xkd, 2 processes",
        "torchdistill",
        "peer's plain loop",
    ):
        assert name in names
    assert dict(zip(names, rows, strict=False))["peer's plain loop"][-1] == "2.00"
    assert {"data", "teacher", "student", "terms", "backward", "optimiser"} <= set(names)
    assert "aten::" in done.stdout


@pytest.mark.slow
def test_an_ensemble_is_timed_beside_its_sources() -> None:
    small = ["--student", "test_resnet", "--size", "64", "--batch", "8", "--turns", "2", "--warm", "1"]
    done = subprocess.run(
        [sys.executable, "tools/benchmark.py", "ensembles", *small], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if line.startswith("│")]
    names = (
        "sources alone",
        "a term each",
        *(f"an ensemble, {way}" for way in ("Mean", "Entropy", "Confidence", "MinLogit", "Specialists")),
    )
    assert tuple(row[0] for row in rows) == names
    assert all(float(row[1]) > 0 for row in rows)
    assert all(float(row[3]) > 0 for row in rows[2:])


@pytest.mark.slow
def test_a_soak_sees_a_leak(tmp_path: Path) -> None:
    (tmp_path / "leaks.py").write_text(LEAK, "utf-8")
    prepare = ["datasets/leafsim/prepare.py", "--out", str(tmp_path / "leafsim"), "--num-scenes", "220", "--workers", "1"]
    soak = ["tools/benchmark.py", "soak", "configs/rgb_thermal/leafsim.py", "--minutes", "0.6"]
    options = ["train_dataloader.batch_size=2", "train_dataloader.num_workers=0"]
    paths = os.pathsep.join((str(tmp_path), os.environ["PYTHONPATH"]))
    environment = {**os.environ, "XKD_DATA_ROOT": str(tmp_path), "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    slopes = []
    for command in (
        prepare,
        [*soak, "--cfg-options", *options],
        [*soak, "--cfg-options", *options, "custom_hooks=[{'type':'leaks.Leak'}]"],
    ):
        done = subprocess.run([sys.executable, *command], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        slopes.append(re.search(r"training process ([+-]\d+\.\d+), workers [+-]0\.00", done.stdout))
    _, constant, leaking = slopes
    assert constant
    assert leaking
    assert float(leaking[1]) - float(constant[1]) == pytest.approx(1000, rel=0.3)


def test_a_benchmark_is_found_by_its_name() -> None:
    script = ["tools/benchmark.py", "lidar", "--help"]
    done = subprocess.run([sys.executable, *script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "python tools/benchmark.py lidar --points" in done.stdout


def test_an_unknown_benchmark_is_told_the_others() -> None:
    done = subprocess.run([sys.executable, "tools/benchmark.py", "loss"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    legal = "{data,detector,edge,ensembles,lidar,losses,pack,pretraining,runner,soak,training}"
    assert f"no benchmark 'loss'\nusage: python tools/benchmark.py {legal} ..." in done.stderr


@pytest.mark.slow
def test_a_step_on_pairs_is_timed_beside_one_on_labels(tmp_path: Path) -> None:
    prepare = ["datasets/leafsim/prepare.py", "--out", str(tmp_path / "leafsim"), "--num-scenes", "220", "--workers", "1"]
    timed = ["tools/benchmark.py", "pretraining", str(REPOSITORY / "configs/thermal_rgb/leafsim_pairs.py"), "--rounds", "1", "--warm", "1"]
    environment = {**os.environ, "XKD_DATA_ROOT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    for script, *words in (prepare, ["tools/imagenet_weights.py", "--out", "weights"], timed):
        call = [sys.executable, str(REPOSITORY / script), *words]
        done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    names = [line.split("│")[1].strip() for line in done.stdout.splitlines() if line.startswith("│")]
    assert names == ["labels", "pairs, cached", "pairs"]
