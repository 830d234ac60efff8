"""Folders that mirror each other become pairs; what does not fit is counted or refused, by name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from prepare_calls import THERMAL, Prepare, first_sample, two_sensors, write_image

from xkd.data.manifest import Manifest
from xkd.data.prepare.naming import unlike_names

Fault = Callable[[Path], tuple[str, ...]]

STRIP = ("--strip", "_rgb$|_th$")
PLANTS = ("--group-regex", r"^(plant\d+)_")


@pytest.mark.parametrize("complete", [True, False], ids=["", "a sensor whose span is asked for"])
def test_files_that_cannot_be_read_stop_it_or_are_left_out(complete: bool, recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    for name in ("rgb/plant1_0_rgb.png", "thermal/plant1_0_th.png", "thermal/plant2_0_th.png"):
        assert (recordings / name).is_file()
        (recordings / name).write_bytes(b"")
    words = ("--labels", recordings / "labels.csv", *STRIP, *PLANTS, "--split", "train=1")
    sensors = two_sensors(recordings) if complete else two_sensors(recordings)[:-1]
    stopped = prepare("folders", *sensors, *words, "--out", tmp_path / "stopped")
    assert stopped.code == 2
    assert not (tmp_path / "stopped").exists()
    answer = prepare("folders", *sensors, *words, "--on-broken", "skip", "--out", tmp_path / "made")
    if not complete:  # what others tell is asked for first
        assert "needs ['range']" in stopped.error
        assert "needs ['range']" in answer.error
        return
    assert "_0_" in stopped.error
    assert "--on-broken skip leaves out all files that cannot be read" in stopped.error
    assert answer.code == 0, answer.error
    assert "left out: 2 x thermal file that cannot be read" in answer.out
    assert "left out: 1 x row without a file that can be read" in answer.out
    assert "the first thermal file that cannot be read: " in answer.out
    rows = {row.id: row for row in Manifest.load(tmp_path / "made").rows}
    assert "plant1_0" not in rows
    assert set(rows["plant2_0"].files) == {"rgb"}
    assert not (tmp_path / "made" / "rgb" / "plant1_0_rgb.png").exists()


def test_pairs_labels_groups_and_empty_cells(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = (*two_sensors(recordings), *STRIP, *PLANTS, "--labels", recordings / "labels.csv", "--licence", 'ours "quoted" \\ é')
    answer = prepare("folders", *words, "--out", out)
    assert answer.code == 0, answer.error
    assert "no rgb: 1 of 24 rows" in answer.out
    assert "no thermal: 1 of 24 rows" in answer.out
    assert f"xkd check-pairs {out}" in answer.out
    manifest, sample = first_sample(out)
    assert (manifest.name, manifest.licence, manifest.classes) == ("out", 'ours "quoted" \\ é', ("healthy", "rust"))
    rows = {row.id: row for row in manifest.rows}
    assert len(rows) == 24
    assert set(rows["plant3_0"].files) == {"rgb"}
    assert set(rows["plant4_1"].files) == {"thermal"}
    assert rows["plant1_0"].files["thermal"] == ("thermal/plant1_0_th.png",)
    assert rows["plant1_0"].labels == ("rust",)
    assert rows["plant3_1"].labels is None
    assert rows["plant1_0"].meta["height"] == "1"
    assert rows["plant1_0"].group == rows["plant1_1"].group == "plant1"
    assert sample.present == {"rgb": True, "thermal": True}
    assert manifest.modalities["thermal"].mean[0] == pytest.approx(300, abs=0.5)
    assert manifest.modalities["thermal"].std[0] == pytest.approx(3, abs=0.2)
    assert np.allclose(manifest.modalities["rgb"].mean, 127, atol=3)
    assert "# mean and std were measured on" in (out / "manifest.toml").read_text("utf-8")
    assert f"{out}: written, 24 rows; prepared.md keeps the notes" in answer.out
    kept = (out / "prepared.md").read_text("utf-8")
    assert kept.startswith("# How out was prepared\n\n    xkd prepare-dataset folders --sensor rgb=")
    assert "- splits were drawn with seed 0, of groups by ^(plant\\d+)_ (train" in kept
    assert all(f"note: {line.removeprefix('- ')}" in answer.out for line in kept.splitlines() if line.startswith("- "))


def test_the_same_words_make_the_same_data_set(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    words = ("folders", *two_sensors(recordings), *STRIP, *PLANTS, "--labels", recordings / "labels.csv", "--name", "plants")
    for out in ("one", "two"):
        assert prepare(*words, "--out", tmp_path / out).code == 0
    for name in ("manifest.csv", "manifest.toml"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("link", ["copy", "symlink", "hardlink"])
def test_files_get_there_as_asked(recordings: Path, prepare: Prepare, tmp_path: Path, link: str) -> None:
    out = tmp_path / "deeper" / "out"
    words = (*two_sensors(recordings), *STRIP, "--classes", "rust", "--link", link)
    assert prepare("folders", *words, "--out", out).code == 0
    made, source = out / "rgb/plant1_0_rgb.png", recordings / "rgb/plant1_0_rgb.png"
    assert made.read_bytes() == source.read_bytes()
    assert made.is_symlink() == (link == "symlink")
    assert made.samefile(source) == (link != "copy")


def test_classes_from_folders_and_names_made_safe(tmp_path: Path, prepare: Prepare) -> None:
    for number in range(6):
        kind = ("leaf rust", "healthy")[number % 2]
        write_image(tmp_path / f"photos/{kind}/a;b:{number}.png", number)
    (tmp_path / "photos/notes.txt").write_text("weather was fine", "utf-8")
    write_image(tmp_path / "photos/.previews/healthy/0.png", 0)
    answer = prepare("folders", "--sensor", f"rgb={tmp_path / 'photos'}:rgb", "--labels-from-folder", "--out", tmp_path / "out")
    assert answer.code == 0, answer.error
    assert "left out: 1 x file in" in answer.out
    manifest, _ = first_sample(tmp_path / "out")
    rows = {row.id: row for row in manifest.rows}
    assert len(rows) == 6, "a hidden file is none"
    assert rows["leaf rust/a;b:0"].files["rgb"] == ("rgb/leaf_rust/a_b_0.png",)
    assert rows["leaf rust/a;b:0"].labels == ("leaf rust",)


def test_bands_in_two_folders_are_one_sensor(tmp_path: Path, prepare: Prepare) -> None:
    for number in range(4):
        for band in ("red", "nir"):
            if (number, band) != (3, "nir"):
                write_image(tmp_path / band / f"{number}.png", number, "thermal")
    words = ("--sensor", f"ndvi={tmp_path / 'red'},{tmp_path / 'nir'}:multispectral", "--classes", "crop")
    settings = ("--set", 'ndvi.bands=["red", "nir"]', 'ndvi.outputs=["red", "nir"]')
    answer = prepare("folders", *words, *settings, "--out", tmp_path / "out")
    assert answer.code == 0, answer.error
    assert "note: ndvi: found in its files: range = [29" in answer.out
    assert "left out: 1 x 'ndvi' with files in only some of its 2 folders" in answer.out
    assert "- left out: 1 x 'ndvi' with files in only" in (tmp_path / "out/prepared.md").read_text("utf-8")
    manifest, _ = first_sample(tmp_path / "out")
    assert manifest.rows[0].files["ndvi"] == ("ndvi/1/0.png", "ndvi/2/0.png")
    assert np.allclose(manifest.modalities["ndvi"].mean, 30000, atol=60)


def test_images_of_two_sizes_are_told(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    for path in (recordings / "thermal").iterdir():
        write_image(path, 0, "thermal", (12, 16))
    answer = prepare("folders", *two_sensors(recordings), *STRIP, "--classes", "rust", "--out", tmp_path / "out")
    assert "(rgb 32x24, thermal 16x12): both must show the same field of view" in answer.out
    manifest, _ = first_sample(tmp_path / "out")
    assert (manifest.pairs.same_size, manifest.pairs.size) == (False, (32, 24))


def _two_files_of_one_stem(root: Path) -> tuple[str, ...]:
    write_image(root / "rgb/plant1_0_rgb.jpg", 0)
    return ()


def _thermal_names_unlike(root: Path) -> tuple[str, ...]:
    for path in sorted((root / "thermal").iterdir()):
        path.rename(path.with_name(f"x{path.name}"))
    return ()


def _empty_folder(root: Path) -> tuple[str, ...]:
    shutil.rmtree(root / "thermal")
    (root / "thermal").mkdir()
    return ()


def _cut_off(root: Path) -> tuple[str, ...]:
    for path in (root / "rgb").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    return ()


def _labels(text: str) -> Fault:
    def fault(root: Path) -> tuple[str, ...]:
        (root / "labels.csv").write_text(text, "utf-8")
        return ("--labels", str(root / "labels.csv"))

    return fault


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_two_files_of_one_stem, "plant1_0_rgb.jpg and .*plant1_0_rgb.png have one stem, 'plant1_0'"),
        (_thermal_names_unlike, "'thermal' and 'rgb' have no stem in common: 'xplant0_0' and 'plant0_0'"),
        (_empty_folder, r"thermal: no file that ends in \['.png'"),
        (_cut_off, r"rgb\.png: the file is cut off after 200 bytes"),
        (_labels("id,label,note\nplant1_0,rust,dry, hot\n"), "labels.csv, line 2: has not as many cells as the header, 3"),
        (_labels("id,label,note\nplant1_0,rust\n"), "labels.csv, line 2: has not as many cells"),
        (_labels("id,label\nplant1_0,rust\nplant1_0,rust\n"), "labels.csv, line 3: 'plant1_0' is there twice"),
        (
            _labels("file,label\nplant1,rust\n"),
            r"labels.csv: no column 'id', and no other one holds the files' stems, such as 'plant0_0'; it has \['file', 'label'\]",
        ),
        (_labels("id,label\nplant1,rust\n"), "it has 'plant1', the files have 'plant0_0'; see --strip"),
        (lambda root: ("--labels", str(root / "labels.csv"), "--group-column", "plant"), r"labels.csv: no column 'plant'; it has \['id',"),
        (_labels("id,label,thermal\nplant1_0,rust,1\n"), "labels.csv: column 'thermal' is called like a sensor"),
        (
            lambda root: ("--set", "lidar.range=[0, 1]"),
            r"--set lidar.range=\[0, 1\]: write COLUMN.KEY=VALUE; columns are \['rgb', 'thermal'\]",
        ),
        (lambda root: ("--set", "thermal.skale=1"), r"\[modalities.thermal\]: unknown key 'skale'"),
        (lambda root: ("--sensor", "depth=here:dept"), "write COLUMN=FOLDER:SENSOR; sensors are"),
        (lambda root: ("--split", "train=0.5", "test=0.4"), "add up to 1"),
        (lambda root: ("--split", "train=0.5", "tset=0.5"), "unknown split 'tset'; legal are"),
        (lambda root: ("--group-regex", "^tree"), "--group-regex '\\^tree' finds no group in 'plant0_0'"),
        (lambda root: ("--split-column", "split"), "--split-column split is about --labels CSV, which is not given"),
        (lambda root: ("--mask-values", "a=1"), "--masks DIR mean; it is not given"),
        (lambda root: ("--classes", "a;b"), "a class cannot be called 'a;b'"),
    ],
)
def test_a_planted_fault_is_named_and_nothing_is_written(
    recordings: Path, prepare: Prepare, tmp_path: Path, fault: Fault, message: str
) -> None:
    words = fault(recordings)
    answer = prepare("folders", *two_sensors(recordings), *STRIP, "--out", tmp_path / "made/out", "--classes", "rust", "healthy", *words)
    assert answer.code == 2
    assert re.search(message, answer.error), answer.error
    assert not (tmp_path / "made").exists() or not list((tmp_path / "made").iterdir())


def test_what_only_the_user_knows_is_asked_for_with_measured_values(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    thermal = ("--sensor", f"thermal={recordings / 'thermal'}:thermal", "--classes", "rust", "--out", tmp_path / "out")
    answer = prepare("folders", *thermal)
    assert answer.code == 2
    assert "needs ['unit', 'scale', 'range'], which no file states; they hold 16-bit counts, 98 % of them from 29,2" in answer.error
    assert "if these are hundredths of a kelvin: --set thermal.unit=K thermal.scale=0.01 'thermal.range=[29" in answer.error
    answer = prepare("folders", *thermal, *THERMAL[:-1])
    assert "needs ['range']" in answer.error
    assert "--set 'thermal.range=[292, 307]'" in answer.error
    assert not (tmp_path / "out").exists()


def test_names_that_differ_are_shown_with_what_would_pair_them(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    words = ("folders", *two_sensors(recordings), "--classes", "rust")
    answer = prepare(*words, "--out", tmp_path / "out")
    assert answer.code == 2
    pattern = re.search(r"--strip '(\S+)' takes what differs out of the stems and pairs 22 of 23", answer.error)
    assert pattern is not None, answer.error
    assert prepare(*words, "--strip", pattern[1], "--out", tmp_path / "out").code == 0
    assert unlike_names({"a": {"IMG_0010", "IMG_0011"}, "b": {"FLIR_0011", "FLIR_0019"}}).startswith("--strip '^(FLIR_|IMG_)' takes")
    assert unlike_names({"a": {"1_rgb"}, "b": {"1_ir"}}).startswith("--strip takes what differs"), "it would take all"
    assert unlike_names({"a": {"1", "2"}, "b": {"x", "y"}}) == "--strip takes what differs out of the stems, such as '_rgb$|_thermal$'"


def test_no_labels_and_no_classes_is_an_error(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    answer = prepare("folders", *two_sensors(recordings), *STRIP, "--out", tmp_path / "out")
    assert (answer.code, "no classes: give labels (--labels CSV" in answer.error) == (2, True)


def test_without_a_place_it_is_made_where_data_sets_are(
    recordings: Path, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XKD_DATA_ROOT", str(tmp_path / "root"))
    words = ("folders", *two_sensors(recordings), *STRIP, "--classes", "rust")
    answer = prepare(*words)
    assert answer.code == 0, answer.error
    assert Manifest.load("recordings").root == tmp_path / "root/recordings"
    assert "root/recordings: is there already; use --out FOLDER" in prepare(*words).error
    assert prepare("folders", "--sensor", f"rgb={recordings / 'rgb'}", "--classes", "rust", "--name", "photos").code == 0
    assert Manifest.load("photos").name == "photos"


def test_an_old_data_set_stays(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    answer = prepare("folders", *two_sensors(recordings), *STRIP, "--out", tmp_path / "out", "--classes", "rust")
    assert (answer.code, "is there already" in answer.error) == (2, True)


def test_two_files_of_one_safe_name_are_refused(tmp_path: Path, prepare: Prepare) -> None:
    for number, name in enumerate(("a:1", "a;1")):
        write_image(tmp_path / f"rgb/{name}.png", number)
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((24, 32), np.uint8))
    (tmp_path / "masks").mkdir()
    words = ("folders", "--sensor", f"rgb={tmp_path / 'rgb'}:rgb", "--classes", "rust", "--out", tmp_path / "out", "--split", "train=1")
    answer = prepare(*words)
    assert answer.code == 2
    assert "a:1.png and" in answer.error
    assert "would both be called rgb/a_1.png in the data set; rename one of them" in answer.error
    for name in ("a:1", "a;1"):
        (tmp_path / f"{name}.png").rename(tmp_path / "masks" / f"{name}.png")
    answer = prepare(*words, "--masks", tmp_path / "masks", "--mask-values", "background=0", "--mask-positive", "background")
    assert (answer.code, "another row's mask is called mask/a_1.png already" in answer.error) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_number_that_stands_for_no_data_is_asked_for(prepare: Prepare, tmp_path: Path) -> None:
    for number in range(6):
        write_image(tmp_path / f"rgb/{number}.png", number)
        write_image(tmp_path / f"thermal/{number}.png", number, "thermal")
        counts = cv2.imread(str(tmp_path / f"thermal/{number}.png"), cv2.IMREAD_UNCHANGED)
        assert counts is not None
        counts[:2] = 0
        cv2.imwrite(str(tmp_path / f"thermal/{number}.png"), counts)
    answer = prepare("folders", *two_sensors(tmp_path), "--classes", "x", "--out", tmp_path / "out")
    assert answer.code == 0, answer.error
    assert "is one of them no-data? Set thermal.nodata=VALUE" in answer.out


def test_pairs_that_nobody_has_labelled(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    answer = prepare("folders", *two_sensors(recordings), *STRIP, *PLANTS, "--unlabelled", "--out", tmp_path / "made")
    assert answer.code == 0, answer.error
    manifest, sample = first_sample(tmp_path / "made")
    assert manifest.classes == ()
    assert not sample.labelled
    assert all(row.labels is None for row in manifest.rows)
    asked = prepare("folders", *two_sensors(recordings), *STRIP, *PLANTS, "--out", tmp_path / "other")
    assert "or say --unlabelled" in asked.error
    both = prepare(
        "folders", *two_sensors(recordings), *STRIP, "--unlabelled", "--labels", recordings / "labels.csv", "--out", tmp_path / "other"
    )
    assert "--unlabelled says that nobody has labelled anything: leave out --labels" in both.error
    assert not (tmp_path / "other").exists()
