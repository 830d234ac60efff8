"""A network with exits: cut into files whose chain answers as the whole does, and a folder in which images stop early."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import timm
import torch
from core_models import CNN
from edge_folders import CLASSES, load_runner
from torch import nn

from xkd.batch import View
from xkd.deploy.card import CardNotes
from xkd.deploy.exit_folder import Stop, write_exits
from xkd.deploy.exits import confidence
from xkd.deploy.int8 import session_of
from xkd.deploy.segments import Chain, Running, chain_of, cut, times_of
from xkd.graph.branch import Branch, Head
from xkd.graph.weights import Random
from xkd.modalities import RGB
from xkd.projectors import PooledLinear
from xkd.taps import Tap
from xkd.tasks import Classification

TASK, VIEW = Classification(CLASSES), View("rgb", RGB(), (24, 32))
Float = onnx.TensorProto.FLOAT


def with_exits(model: nn.Module, first: str, second: str, head: type[PooledLinear] = PooledLinear) -> Branch:
    torch.manual_seed(0)
    taps, heads = {"low": Tap(first), "deep": Tap(second)}, {"first": Head("low", head()), "second": Head("deep", head())}
    branch = Branch(model, VIEW, Random(), taps, heads=heads)
    branch.bind(TASK)
    for module in branch.modules():
        if isinstance(module, nn.Linear) and module.out_features == len(CLASSES):
            nn.init.normal_(module.weight, std=3.0)  # confidences far apart
    return branch.eval()


@pytest.fixture(scope="module")
def branch() -> Branch:
    return with_exits(CNN(), "stem", "deep")


@pytest.fixture(scope="module")
def chain(branch: Branch) -> Chain:
    return chain_of(branch, TASK, ["first", "second"])


def images(number: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, 3, 24, 32), dtype=np.uint8)


def close_to_the_whole(chain: Chain, number: int = 3) -> None:
    whole = session_of(chain.model.SerializeToString()).run([segment.answer for segment in chain.segments], {"images": images(number)})
    for ours, theirs in zip(Running(chain.segments)(images(number)), whole, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    (alone,) = Running([chain.alone])(images(number))
    np.testing.assert_allclose(alone, whole[-1], atol=1e-5)


def test_the_chain_answers_as_the_whole(chain: Chain) -> None:
    close_to_the_whole(chain)
    assert chain.exits == ("first", "second", "output")
    assert chain.max_difference < TASK.tolerance
    held = [{node.op_type for node in onnx.load_model_from_string(one.content).graph.node} for one in (*chain.segments, chain.alone)]
    assert ["Conv" in of for of in held] == [True, True, False, True], "no work is done twice"
    times = times_of(chain, images(1))
    assert 0 < times.exits[0] < times.exits[1] < times.exits[2]
    assert times.alone > 0


def test_a_rounded_network_is_refused(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xkd.deploy.segments.inputs_of", lambda model: {"stem.0": None})
    with pytest.raises(ValueError, match=r"CNN learned with few bits .* exits are of float networks"):
        chain_of(branch, TASK, ["first"])


class Fixed(PooledLinear):
    """A head whose graph is for the number of images that it was traced with."""

    def forward(self, reading: torch.Tensor) -> torch.Tensor:
        return super().forward(reading.reshape(len(reading), *reading.shape[1:]))


@pytest.mark.slow
@pytest.mark.parametrize("head", [PooledLinear, Fixed])
def test_so_does_that_of_a_transformer(head: type[PooledLinear]) -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=(24, 32), patch_size=8, depth=3, embed_dim=24, num_heads=3)
    chain = chain_of(with_exits(model, "blocks.0", "blocks.1", head), TASK, ["first", "second"])
    assert chain.any_batch == (head is PooledLinear)
    close_to_the_whole(chain, 3 if chain.any_batch else 1)


def graph_of(nodes: list[Any], outputs: list[str]) -> Any:
    def values(names: list[str]) -> list[Any]:
        return [onnx.helper.make_tensor_value_info(name, Float, [1]) for name in names]

    inner = [name for node in nodes for name in node.output if name not in outputs]
    graph = onnx.helper.make_graph(nodes, "g", values(["images"]), values(outputs), value_info=values(inner))
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_all_that_lives_at_a_cut_is_passed_on() -> None:
    node = onnx.helper.make_node
    nodes = [node("Exp", ["images"], ["a"]), node("Neg", ["a"], ["one"]), node("Add", ["a", "images"], ["b"]), node("Neg", ["b"], ["two"])]
    nodes += [node("Mul", ["b", "a"], ["three"]), node("Abs", ["a"], ["unused"])]
    model = graph_of(nodes, ["one", "two", "three"])
    first, second, third = segments = cut(model, ["one", "two", "three"])
    assert (first.takes, first.gives) == (("images",), ("one", "a"))
    assert (second.takes, second.gives) == (("a", "images"), ("two", "b"))
    assert (third.takes, third.gives) == (("b", "a"), ("three",)), "past the second file too"
    given = [float(answer[0]) for answer in Running(segments)(np.array([2.0], np.float32))]
    assert given == pytest.approx([-np.exp(2), -(np.exp(2) + 2), (np.exp(2) + 2) * np.exp(2)])
    (alone,) = cut(model, ["three"])
    assert (alone.takes, alone.gives) == (("images",), ("three",))


def test_a_graph_inside_a_node_reads_values_too() -> None:
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    arms = {
        name: onnx.helper.make_graph([node(kind, ["a"], [name])], name, [], [info(name, Float, [1])])
        for name, kind in (("yes", "Neg"), ("no", "Abs"))
    }
    choice = node("If", ["positive"], ["two"], then_branch=arms["yes"], else_branch=arms["no"])
    nodes = [node("Exp", ["images"], ["a"]), node("Neg", ["a"], ["one"]), node("Cast", ["images"], ["positive"], to=onnx.TensorProto.BOOL)]
    model = graph_of([*nodes, choice], ["one", "two"])
    next(value for value in model.graph.value_info if value.name == "positive").type.tensor_type.elem_type = onnx.TensorProto.BOOL
    _, second = segments = cut(model, ["one", "two"])
    assert set(second.takes) == {"images", "a"}
    assert [float(of[0]) for of in Running(segments)(np.array([1.0], np.float32))] == pytest.approx([-np.e, -np.e])


@pytest.fixture(scope="module")
def written(branch: Branch, chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    stops = [Stop(2.0, 0.7, 0.5, {"accuracy on test": 0.5}), Stop(1.5, None, 0.2, {}), Stop(1.0, None, 0.3, {})]
    folder = tmp_path_factory.mktemp("exits") / "edge"
    report = write_exits(branch, TASK, folder, chain, stops, CardNotes("made up"), 0.6)
    assert report.num_bytes == sum(path.stat().st_size for path in folder.glob("*.onnx"))
    return folder


@pytest.fixture
def edge(written: Path, tmp_path: Path) -> Path:
    return shutil.copytree(written, tmp_path / "edge")


Runs = Callable[..., tuple[int, list[list[str]]]]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    """The exit code of `python run.py ...` of a folder, in this process, and the lines of its table."""

    def call(folder: Path, *arguments: object) -> tuple[int, list[list[str]]]:
        out = tmp_path / "answers.csv"
        kept = () if "check" in arguments else ("--out", str(out))
        monkeypatch.setattr(sys, "argv", ["run.py", *map(str, arguments), *kept])
        monkeypatch.setenv("XKD_CHECKED", "1")
        code: int = load_runner(folder).main()
        return code, list(csv.reader(out.read_text("utf-8").splitlines())) if out.exists() and "bench" not in arguments else []

    return call


def planned(folder: Path, change: Callable[[Any], object]) -> None:
    plan = json.loads((folder / "plan.json").read_text("utf-8"))
    change(plan)
    (folder / "plan.json").write_text(json.dumps(plan), "utf-8")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(images(12)):
        scaled = (image.transpose(1, 2, 0) * (number / 11)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "photos" / f"{number:02}.png"), scaled)
    return tmp_path / "photos"


def test_what_the_plan_and_the_card_say(written: Path) -> None:
    plan, card = (json.loads((written / f"{name}.json").read_text("utf-8")) for name in ("plan", "card"))
    assert [part["exit"] for part in plan["segments"]] == ["first", "second", "output"]
    assert [part.get("threshold", "no") for part in plan["segments"]] == [0.7, None, "no"]
    assert (plan["hand_on_below"], list(card["outputs"])) == (0.6, ["probabilities"])
    assert {"exits.py", "segment3.onnx"} < set(plan["sha256"])
    page = (written / "card.md").read_text("utf-8")
    assert "| exit first | accuracy on test: 0.5 |" in page
    assert "InferenceSession" not in page


@pytest.mark.parametrize(("threshold", "place"), [(1.0001, 2), (None, 2), (0, 0)])
def test_above_one_is_the_last_exit_and_zero_the_first(threshold: float | None, place: int, edge: Path, chain: Chain) -> None:
    planned(edge, lambda plan: [part.update(threshold=threshold) for part in plan["segments"][:-1]])
    run: ModuleType = load_runner(edge)
    model = run.Model(1, edge)
    for image in images(4):
        assert np.array_equal(model.run(image[None]), [*Running(chain.segments)(image[None])][place][0])
        assert model.last[0]["exit"] == chain.exits[place]


def answers(chain: Chain, edge: Path, photos: Path) -> list[list[np.ndarray]]:
    """Of each photo, each exit's probabilities."""
    model, run = load_runner(edge).Model(1, edge), Running(chain.segments)
    return [[of[0] for of in run(model.prepare(as_read(path)))] for path in sorted(photos.iterdir())]


def test_an_image_stops_at_the_first_exit_that_is_sure(edge: Path, chain: Chain, photos: Path, called: Runs, capsys: Any) -> None:
    given = answers(chain, edge, photos)
    sure = [float(confidence(first, 2.0)) for first, _, _ in given]
    threshold = (sorted(sure)[4] + sorted(sure)[5]) / 2
    planned(edge, lambda plan: plan["segments"][0].update(threshold=threshold))
    expected = [of[0 if one >= threshold else 2] for of, one in zip(given, sure, strict=True)]
    code, (_, *lines) = called(edge, photos)
    assert code == 0
    assert [line[2:-1] for line in lines] == [[f"{value:.4f}" for value in of.tolist()] for of in expected]
    said = capsys.readouterr().err
    assert "stopped at first: 7 of 12 images (58%)" in said
    assert "stopped at second: 0 of 12 images (0%)" in said
    assert "handed on" not in said


def as_read(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def test_what_is_unsure_is_handed_on(edge: Path, chain: Chain, photos: Path, called: Runs, tmp_path: Path, capsys: Any) -> None:
    other = shutil.copytree(edge, tmp_path / "other")
    planned(other, lambda plan: plan["segments"][0].update(threshold=0))
    theirs = called(other, photos)[1]
    sure = [float(confidence(last, 1.0)) for _, _, last in answers(chain, edge, photos)]
    below = (sorted(sure)[2] + sorted(sure)[3]) / 2
    planned(edge, lambda plan: (plan["segments"][0].update(threshold=None), plan.update(hand_on_below=below)))
    own = called(edge, photos)[1]
    capsys.readouterr()
    assert called(edge, photos, "--hand-on", tmp_path / "list.txt") == (0, own)
    names = (tmp_path / "list.txt").read_text("utf-8").splitlines()
    assert names == [str(path) for path, one in zip(sorted(photos.iterdir()), sure, strict=True) if one < below]
    assert f"handed on to {tmp_path / 'list.txt'}: 3 of 12 images (25%)" in capsys.readouterr().err
    code, lines = called(edge, photos, "--ask", other)
    assert code == 0
    assert lines[1:] == [their if our[0] in names else our for our, their in zip(own[1:], theirs[1:], strict=True)]
    assert called(edge, photos, "--ask", other, "--below", 1)[1] == theirs
    assert called(edge, photos, "--ask", other, "--below", 0)[1] == own


def test_check_and_bench(edge: Path, called: Runs, tmp_path: Path, capsys: Any) -> None:
    assert called(edge, "check")[0] == 0
    assert capsys.readouterr().out.count("right") == 2
    assert called(edge, "bench", "--repeats", 3, "--warm-up", 1)[0] == 0
    told = json.loads((tmp_path / "answers.csv").read_text("utf-8"))
    assert 0 < told["exits_ms"]["first"] < told["exits_ms"]["output"]
    assert told["exits_ms"]["first"] < told["mean_ms_at_the_shares_of_test"] < told["exits_ms"]["output"]
    stored = dict(np.load(edge / "samples.npz"))
    stored["answers"][:, 0] += 0.01  # of the first exit
    np.savez_compressed(edge / "samples.npz", **stored)
    planned(edge, lambda plan: plan["sha256"].pop("samples.npz"))
    assert called(edge, "check")[0] == 1


def changes() -> Iterator[tuple[str, Callable[[Any], object], tuple[str, ...], str]]:
    yield "threshold of the last", lambda plan: plan["segments"][-1].update(threshold=0.5), (), "a threshold for the last segment"
    yield "no number", lambda plan: plan["segments"][0].update(threshold="0.5"), (), "the threshold of exit 'first' is a number from 0 to 1"
    yield "not chosen", lambda plan: plan.pop("hand_on_below"), ("--hand-on", "l.txt"), "name one, --below 0.6"
    yield "for nobody", lambda plan: None, ("--below", "0.5"), "for --ask or --hand-on; got 0.5 without them"
    yield "below", lambda plan: None, ("--hand-on", "l.txt", "--below", "7"), "a confidence from 0 to 1"
    yield "a camera", lambda plan: None, ("--hand-on", "l.txt", "--camera", "0"), "a camera's images are not kept"
    yield "nobody there", lambda plan: None, ("--ask", "nowhere"), "nowhere"
    yield (
        "others",
        lambda plan: plan["answer"].update(names=["a", "b", "c"]),
        ("--ask", "ORIGINAL"),
        "differs in what plan.json says of 'answers'",
    )


@pytest.mark.parametrize(("change", "options", "said"), [case[1:] for case in changes()], ids=[case[0] for case in changes()])
def test_what_cannot_be_done(
    change: Callable[[Any], object], options: tuple[str, ...], said: str, edge: Path, written: Path, photos: Path, called: Runs, capsys: Any
) -> None:
    planned(edge, change)
    asked = [str(written) if option == "ORIGINAL" else option for option in options]
    assert called(edge, *([] if "--camera" in asked else [photos]), *asked) == (2, [])
    assert said in capsys.readouterr().err
