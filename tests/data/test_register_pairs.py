"""One transformation from many pairs: a planted one is found, stored without touching the rest, and refused where there is none."""

from __future__ import annotations

import os
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import two_cameras as two

from xkd import cli
from xkd.data.check import check_pairs
from xkd.data.check.residual import Residual
from xkd.data.manifest import Manifest
from xkd.data.register import RegistrationResult, register_pairs, store
from xkd.data.register.run import measurable
from xkd.data.register.store import with_block
from xkd.data.registration import Registration

PLANTED = two.planted(5.0, -4.0, degrees=2.0, tilt=1e-4)
SHARED = Path(os.environ.get("XKD_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "roadscene_rgbt"
ROW = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
SOME = Registration("rgb", ROW, (192, 144), (160, 120), "affine", 12, 3.25, 0.5)
OTHER = Registration("rgb", ROW, (192, 144), (160, 120), "homography", 30)


def run(*arguments: str | Path) -> int:
    return cli.run("register-pairs", [str(argument) for argument in arguments])


def find(root: Path, model: str, sample: int = 0) -> RegistrationResult:
    return register_pairs(Manifest.load(root.absolute()), "rgb", "thermal", model, sample, 0, lambda what, done, total: None)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only: ten pairs, shifted by 5 and -4 pixels."""
    return two.make_set(tmp_path_factory.mktemp("shifted") / "two", two.planted(5.0, -4.0), train=10)


@pytest.fixture
def copy(shifted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shifted, tmp_path / "two"))


def test_a_planted_homography_is_found_and_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = two.make_set(tmp_path / "two", PLANTED, train=40)
    assert run(root, "--reference", "rgb", "--sensor", "thermal", "--model", "homography") == 0
    output = capsys.readouterr().out
    one = Manifest.load(root).registrations["thermal"]
    share = f"{one.seen_share:.0%}"
    assert f"(160x120) sees {share} of the frame of rgb (192x144); estimated from 20 pairs, measured on 20 others" in output
    assert "written: " in output
    assert two.apart(one.to_sensor, PLANTED) < 1
    assert (one.model, one.pairs, one.size, one.sensor_size) == ("homography", 20, two.SIZE, two.SENSOR_SIZE)
    assert one.residual_before > 4
    assert one.residual_after < 0.5
    assert (root / "manifest.toml").read_text("utf-8").startswith(two.TOML.rstrip())


def test_it_is_found_again_from_the_files_as_they_are(copy: Path) -> None:
    texts = []
    for _ in range(2):
        assert run(copy, "--reference", "rgb", "--sensor", "thermal", "--model", "translation") == 0
        texts.append((copy / "manifest.toml").read_text("utf-8"))
    assert texts[0] == texts[1]
    assert texts[0].startswith(two.TOML.rstrip())


def test_a_planted_affine_with_another_field_of_view_is_found(tmp_path: Path) -> None:
    narrower = two.planted(-3.0, 4.0, degrees=-3.0) @ np.array([[1.25, 0, -0.25 * 95.5], [0, 1.25, -0.25 * 71.5], [0, 0, 1]])
    result = find(two.make_set(tmp_path / "two", narrower), "affine")
    assert two.apart(result.registration.to_sensor, narrower) < 1
    assert not measurable(result.before), "what is a quarter larger has no part of the frame in its place"
    assert result.registration.residual_before is None
    assert result.after.paired.median < 0.5


def test_a_turn_about_the_middle_has_a_residual(tmp_path: Path) -> None:
    """As one shift of the whole frame it has none."""
    result = find(two.make_set(tmp_path / "two", two.planted(0.0, 0.0, degrees=3.0)), "affine")
    assert result.before.paired.median > 1.5
    assert result.after.paired.median < 0.4


def test_a_dry_run_writes_nothing(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (copy / "manifest.toml").read_bytes()
    assert run(copy, "--reference", "rgb", "--sensor", "thermal", "--model", "translation", "--dry-run") == 0
    assert "dry run: nothing written" in capsys.readouterr().out
    assert (copy / "manifest.toml").read_bytes() == before


def test_a_translation_is_found_from_few_pairs(shifted: Path) -> None:
    assert two.apart(find(shifted, "translation", sample=8).registration.to_sensor, two.planted(5.0, -4.0)) < 0.5


def refusals(root: Path) -> dict[str, tuple[Path, tuple[str, ...], str]]:
    """Folder, further arguments and message; each set is made in `root`."""
    mixed = two.make_set(root / "mixed", two.planted(5.0, -4.0), train=10, mixed=True)
    few = two.make_set(root / "few", two.planted(5.0, -4.0), train=7)
    right = two.make_set(root / "right", two.planted(0.0, 0.0), train=10)
    sizes = two.make_set(root / "sizes", two.planted(5.0, -4.0), train=8)
    cv2.imwrite(str(sizes / "thermal/3.png"), np.full((100, 90), 29500, np.uint16))
    cut = two.make_set(root / "cut", two.planted(5.0, -4.0), train=8)
    (cut / "thermal/3.png").write_bytes((cut / "thermal/3.png").read_bytes()[:99])
    return {
        "mixed": (mixed, (), "'thermal' cannot be registered to 'rgb': no common edges: the best of all places stands out by"),
        "few": (few, (), "7 pairs of 'rgb' and 'thermal' in this sample of train; 8 are needed at least"),
        "sample": (right, ("--sample", "4"), "4 pairs of 'rgb' and 'thermal' in this sample"),
        "right": (right, (), "there is nothing to correct, or nothing that this model could"),
        "sizes": (sizes, (), "one transformation is for cameras that do not change"),
        "cut off": (cut, (), "row 'r3': "),
        "sensor": (right, ("--sensor", "nir"), "no sensor 'nir'; there are ['rgb', 'thermal']"),
        "itself": (right, ("--sensor", "rgb"), "'rgb' cannot be registered to itself"),
        "count": (right, ("--sample", "-1"), "sample is 0 (all pairs) or more; got -1"),
    }


def test_what_cannot_be_registered_is_refused_and_nothing_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, (root, further, message) in refusals(tmp_path).items():
        before = (root / "manifest.toml").read_bytes()
        assert run(root, "--reference", "rgb", "--sensor", "thermal", "--model", "translation", *further) == 2, name
        errors = capsys.readouterr().err
        assert message in errors, (name, errors)
        assert (root / "manifest.toml").read_bytes() == before, name


def test_rows_of_val_and_test_are_never_read(copy: Path) -> None:
    for number in range(10, 14):
        (copy / f"thermal/{number}.png").unlink()
    assert find(copy, "translation").registration.pairs == 5


def test_a_file_of_another_size_anywhere_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (copy / "manifest.toml").read_bytes()
    last = Manifest.load(copy.absolute()).rows[-1]
    assert last.split != "train"
    path = copy / last.files["thermal"][0]
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:, :100])
    assert run(copy, "--reference", "rgb", "--sensor", "thermal", "--model", "translation") == 2
    assert f"{last.files['thermal'][0]} is 100x120, 'thermal' was 160x120 in the pairs of the sample" in capsys.readouterr().err
    assert (copy / "manifest.toml").read_bytes() == before


def test_the_sensor_in_whose_frame_boxes_were_drawn_stays_where_it_is(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = copy / "manifest.toml"
    before = table.read_text("utf-8")
    lines = (copy / "manifest.csv").read_text("utf-8").splitlines()
    boxes = [f"{lines[0]},crop"] + [f"{line},10 10 60 60" for line in lines[1:]]
    (copy / "manifest.csv").write_text("\n".join(boxes) + "\n", "utf-8")
    thermal, rgb = ("[{}, {}]".format(*size) for size in (two.SENSOR_SIZE, two.SIZE))
    table.write_text(before.replace("same_size = true", f"same_size = false\nsize = {thermal}"), "utf-8")
    assert run(copy, "--reference", "rgb", "--sensor", "thermal", "--model", "translation", "--dry-run") == 2
    assert "which is that of 'thermal'" in capsys.readouterr().err
    table.write_text(before.replace("same_size = true", f"same_size = false\nsize = {rgb}"), "utf-8")
    assert run(copy, "--reference", "rgb", "--sensor", "thermal", "--model", "translation", "--dry-run") == 0


def test_the_residual_counts_the_coarser_sensors_pixels_before_and_after(copy: Path) -> None:
    def checked() -> Residual:
        (registration,) = check_pairs(Manifest.load(copy.absolute()), 0, 0, 1.5, lambda *_: None).residuals
        return registration

    table = copy / "manifest.toml"
    table.write_text(table.read_text("utf-8").replace("same_size = true", "same_size = false"), "utf-8")
    apart = np.hypot(5.0, 4.0) * two.SENSOR_SIZE[0] / two.SIZE[0]
    assert (checked().unit, checked().paired.median) == ("thermal", pytest.approx(apart, abs=0.5))
    wrong = replace(find(copy, "translation").registration, matrix=((5 / 6, 0.0, 3 * 5 / 6), (0.0, 5 / 6, 0.0), (0.0, 0.0, 1.0)))
    store(table, "thermal", wrong)
    still = np.hypot(2.0, 4.0) * two.SENSOR_SIZE[0] / two.SIZE[0]
    assert (checked().unit, checked().paired.median) == ("thermal", pytest.approx(still, abs=0.5))


def test_an_absurd_transformation_is_refused(shifted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xkd.data.register.run.locate", lambda *_: np.diag([0.3, 0.3, 1.0]))
    with pytest.raises(
        ValueError, match=r"the transformation found is absurd: parts of the frame would become 0\.09 to 0\.09 times as large"
    ):
        find(shifted, "affine")


def test_edges_in_a_corner_alone_are_too_few_for_an_affine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xkd.data.register.locate.search", lambda *_, turned: two.planted(4.0, -3.0))
    root = two.make_set(tmp_path / "two", two.planted(5.0, -4.0), train=12)
    for path in root.glob("*/*.png"):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        image[:, image.shape[1] // 3 :] = image.mean()
        image[image.shape[0] // 2 :] = image.mean()
        cv2.imwrite(str(path), image)
    with pytest.raises(ValueError, match=r"of 9 parts of the frame have common edges, and span .* model 'affine' needs 6 that span 25%"):
        find(root, "affine")


def test_sensors_in_a_chain_are_refused(copy: Path) -> None:
    store(copy / "manifest.toml", "thermal", SOME)
    manifest = Manifest.load(copy)
    with pytest.raises(ValueError, match="'thermal' is registered to 'rgb' itself; register both to one sensor"):
        register_pairs(manifest, "thermal", "rgb", "affine", 0, 0, lambda *_: None)
    third = replace(manifest, modalities={**manifest.modalities, "nir": manifest.modalities["thermal"]})
    with pytest.raises(ValueError, match="'rgb' is the reference of 'thermal'; register both to one sensor"):
        register_pairs(third, "nir", "rgb", "affine", 0, 0, lambda *_: None)


TEXTS = {
    "plain": 'name = "x" # of x\n[modalities.rgb]\nsensor = "rgb"\n',
    "without a last newline": 'name = "x"\n[modalities.rgb]\nsensor = "rgb"',
    "another's": 'name = "x"\n\n[registration.nir]\nreference = "rgb"\n\n# of masks\n[mask]\nvalues = { a = 1 }\n',
    "windows": 'name = "x"\r\n[modalities.rgb]\r\nsensor = "rgb"\r\n',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=list(TEXTS))
def test_the_block_is_put_in_and_replaced_and_all_else_stays(text: str) -> None:
    once = with_block(Path("m.toml"), text, "thermal", SOME)
    assert once.startswith(text.rstrip())
    assert ("\r" in once) == ("\r" in text)
    assert once.count("\r") in (0, once.count("\n"))
    table = tomllib.loads(once)
    block = table["registration"].pop("thermal")
    assert block["residual_before"] == 3.25
    assert tuple(map(tuple, block["matrix"])) == ROW
    assert table == tomllib.loads(text) | ({"registration": table["registration"]})
    twice = with_block(Path("m.toml"), once, "thermal", OTHER)
    assert "residual_before" not in twice
    assert with_block(Path("m.toml"), twice, "thermal", SOME) == once


def test_a_block_in_the_middle_keeps_its_neighbours() -> None:
    text = with_block(Path("m.toml"), 'name = "x"\n', "thermal", SOME) + "\n# of masks\n# and more\n[mask]\nvalues = { a = 1 }\n"
    wide = text.replace("matrix = [[1.0, 0.0, 0.0], ", "matrix = [\n[1.0, 0.0, 0.0],\n  # a comment\n")
    assert wide != text
    assert with_block(Path("m.toml"), wide, "thermal", SOME) == text


@pytest.mark.parametrize(
    "text",
    ['registration = { thermal = { reference = "rgb" } }\n', '[registration]\nthermal.reference = "rgb"\n'],
    ids=["inline", "dotted"],
)
def test_a_registration_written_in_another_form_is_left_alone(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"m.toml: cannot replace \[registration.thermal\] without touching other lines; remove it by hand"
    ):
        with_block(Path("m.toml"), text, "thermal", SOME)


@pytest.mark.skipif(not SHARED.is_dir(), reason="real recordings (shared/data/roadscene_rgbt) are not here")
def test_on_real_roads_a_planted_affine_is_found(tmp_path: Path) -> None:
    """These frames are 1 to 2 pixels off by themselves in the corners."""
    size, planted = (400, 256), two.planted(9.0, -6.0, degrees=2.5)
    for folder in ("rgb", "thermal"):
        (tmp_path / folder).mkdir()
    lines = ["id,split,group,rgb,thermal,label"]
    for path in sorted((SHARED / "rgb").glob("*.jpg")):
        colour, heat = cv2.imread(str(path)), cv2.imread(str(SHARED / "thermal" / path.name), cv2.IMREAD_GRAYSCALE)
        left, top = (colour.shape[1] - size[0]) // 2, (colour.shape[0] - size[1]) // 2
        if left < 0 or top < 0 or len(lines) > 24:
            continue
        window = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
        cv2.imwrite(str(tmp_path / f"rgb/{path.stem}.png"), colour[top : top + size[1], left : left + size[0]])
        heat = cv2.warpPerspective(heat, planted @ window, (333, 213), borderMode=cv2.BORDER_REPLICATE)
        cv2.imwrite(str(tmp_path / f"thermal/{path.stem}.png"), heat)
        lines.append(f"{path.stem},train,{path.stem},rgb/{path.stem}.png,thermal/{path.stem}.png,{'ab'[len(lines) % 2]}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    heat_toml = 'unit = "8-bit counts"\nscale = 1.0\nrange = [0.0, 255.0]'
    toml = two.TOML.replace('unit = "K"\nscale = 0.01\nrange = [280.0, 320.0]', heat_toml)
    (tmp_path / "manifest.toml").write_text(toml, "utf-8")
    result = find(tmp_path, "affine")
    corners = np.array([(x, y) for x in (0, size[0] - 1) for y in (0, size[1] - 1)], np.float64)
    away = np.hypot(*(two.at(result.registration.to_sensor, corners) - two.at(planted, corners)).T) * 1.2
    assert away.max() < 3.5, away
    assert result.before.paired.median > 6
    assert result.after.paired.median < 1.6
