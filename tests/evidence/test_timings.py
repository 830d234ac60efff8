"""What candidates cost: files of timings from here or from a device, and who is over budget."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from xkd.deploy.bench import main, processor, timings
from xkd.evidence.candidates import Candidate
from xkd.evidence.timings import Budget, Latency, known, over, read_timings, write_bench

ONE, TWO = (Candidate(name, name, (8, 8), {}, "abc") for name in ("one", "two"))
GIVEN = {"median_ms": 2.0, "interquartile_range_ms": 0.1, "megabytes": 3.0, "precision": "int8", "threads": 1, "machine": "Linux arm64"}
RUN = """
import json, sys
if "two" in __file__:
    sys.exit("run.py: the runtime does not know an operator")
print(json.dumps({"median_ms": 1.5, "arguments": sys.argv[1:]}))
"""


def test_each_folder_is_timed_by_its_own_runner_and_one_that_fails_says_why(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.py").write_text(RUN, "utf-8")
        (tmp_path / name / "model.onnx").write_bytes(bytes(1_250_000))
    lines: list[str] = []
    told = timings([tmp_path / "one", tmp_path / "two"], 2, lines.append)
    load = told["one"].pop("load")
    assert load is None or 0 <= load < 10_000
    assert told == {
        "one": {"median_ms": 1.5, "arguments": ["bench", "--threads", "2"], "megabytes": 1.25, "processor": processor()},
        "two": {"error": "run.py: the runtime does not know an operator"},
    }
    assert lines[0] == "one: 1.5"
    write_bench(tmp_path)
    assert "import xkd" not in (tmp_path / "bench.py").read_text("utf-8")


def test_nothing_to_time_is_no_file_of_timings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("xkd.deploy.bench.__file__", str(tmp_path / "bench.py"))
    monkeypatch.setattr("sys.argv", ["bench.py", "--out", str(tmp_path / "timings.json")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "there is nothing to time" in capsys.readouterr().err
    assert not (tmp_path / "timings.json").exists()


def test_a_devices_timings_are_taken() -> None:
    found, broken = known(
        {ONE.folder: GIVEN, TWO.folder: {"error": "no such operator"}}, [ONE, TWO], Budget(5, precision="int8", on="t.json")
    )
    assert found == {"one": Latency(2.0, 0.1, 3.0, "Linux arm64")}
    assert broken == {"two": "it does not run: no such operator"}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "lacks": ({}, r"t\.json has no timing of \['one'\]: write the candidates anew"),
    "precision": ({ONE.folder: GIVEN | {"precision": "float32"}}, "one was timed with precision float32, not int8"),
    "threads": ({ONE.folder: GIVEN | {"threads": 4}}, "one was timed with threads 4, not 1"),
    "key": ({ONE.folder: {key: of for key, of in GIVEN.items() if key != "median_ms"}}, r"lacks \['median_ms'\]"),
}


@pytest.mark.parametrize(("told", "message"), WRONG.values(), ids=list(WRONG))
def test_timings_of_something_else_are_refused(told: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        known(told, [ONE], Budget(5, precision="int8", on="t.json"))


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is no JSON"), ("[1]", "is no file of timings"), ('{"a": 1}', "is no file of timings")]
)
def test_a_file_that_is_none(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        read_timings(tmp_path / "t.json")


def test_who_is_over_budget_and_by_what() -> None:
    of = {"fits": Latency(4.0, 0.1, 4.0), "slow": Latency(6.0, 0.1, 1.0), "large": Latency(1.0, 0.1, 9.0)}
    assert over(of, Budget(5, 4)) == {"slow": "6 ms, 5 allowed", "large": "9 MB, 4 allowed"}
    assert over(of, Budget(4.0)) == {"slow": "6 ms, 4 allowed"}, "size counts where it was asked for, and the budget itself is allowed"


def test_a_budget_that_nothing_meets_names_the_nearest() -> None:
    of = {"far": Latency(9.0, 0.1, 1.0), "near": Latency(1.1, 0.1, 2.0), "large": Latency(0.5, 0.1, 8.0)}
    with pytest.raises(ValueError, match=r"no candidate meets the budget \(int8, 1 thread\); the nearest is near: 1\.1 ms, 1 allowed"):
        over(of, Budget(1.0, 2.0, "int8"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"milliseconds": 0.0}, "--budget-ms must be above 0, got 0"),
        ({"milliseconds": math.nan}, "--budget-ms must be above 0, got nan"),
        ({"milliseconds": 1.0, "megabytes": -1.0}, "--budget-mb"),
        ({"milliseconds": 1.0, "precision": "float"}, "'float32', 'int8'"),
        ({"milliseconds": 1.0, "threads": 0}, "--threads"),
    ],
)
def test_no_budget(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Budget(**arguments)


def test_the_file_that_a_device_brings_back(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({ONE.folder: GIVEN}), "utf-8")
    assert read_timings(tmp_path / "t.json") == {ONE.folder: GIVEN}
