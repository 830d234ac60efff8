"""The pair check: each fault is planted and found, and a data set without faults has none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from xkd.data.check import Finding, PairCheck, check_pairs, draw_overlays
from xkd.data.check.exposure import outliers
from xkd.data.check.files import scan_files
from xkd.data.check.leaks import FARTHEST, difference_bits
from xkd.data.check.overlay import checkerboard, edges_on
from xkd.data.check.residual import shift_between
from xkd.data.manifest import Manifest
from xkd.modalities.calibration import Camera, write_calibration

HEIGHT, WIDTH = 96, 128
SPLITS = ("train",) * 10 + ("val",) * 4 + ("test",) * 4
TOML = """
name = "shapes"
classes = ["a", "b"]

[modalities.rgb]
sensor = "rgb"
mean = [128.0, 128.0, 128.0]
std = [60.0, 60.0, 60.0]

[modalities.thermal]
sensor = "thermal"
unit = "K"
scale = 0.01
range = [280.0, 320.0]
mean = [295.2]
std = [3.8]

[mask]
values = { background = 0, thing = 1 }
positive = ["thing"]
"""


def scene(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """(H, W) 0..1: a few dozen shapes of unlike brightness."""
    rng = np.random.default_rng(seed)
    image = np.full(size, 0.5, np.float32)
    for _ in range(40):
        x, y = (int(rng.integers(side)) for side in size[::-1])
        shade = float(rng.random())
        if rng.random() < 0.5:
            cv2.circle(image, (x, y), int(rng.integers(4, 16)), shade, -1)
        else:
            cv2.rectangle(image, (x, y), (x + int(rng.integers(5, 30)), y + int(rng.integers(5, 30))), shade, -1)
    return image


def moved(image: np.ndarray, x: float, y: float) -> np.ndarray:
    matrix = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def as_thermal(image: np.ndarray, seed: int) -> np.ndarray:
    """Another sensor of the same scene: contrast turned round, bent, blurred, with noise of its own; centikelvin."""
    noise = np.random.default_rng(seed + 1000).normal(0, 0.01, image.shape)
    other = cv2.GaussianBlur((1 - image) ** 2 * np.float32(0.6), (0, 0), 1.0) + noise
    return (29000 + 3000 * other).astype(np.uint16)


def make_set(root: Path, shift: tuple[float, float] = (0.0, 0.0)) -> Path:
    """18 pairs in `root`, the thermal image moved by `shift`; rows r0, r1, ..., each its own group, classes in turn."""
    for folder in ("rgb", "thermal", "mask"):
        (root / folder).mkdir(parents=True)
    lines = ["id,split,group,rgb,thermal,label,mask"]
    for number, split in enumerate(SPLITS):
        image = scene(number)
        colour = np.stack([image * 255, image * 230, 20 + image * 200], 2).astype(np.uint8)
        cv2.imwrite(str(root / f"rgb/{number}.png"), colour)
        cv2.imwrite(str(root / f"thermal/{number}.png"), as_thermal(moved(image, *shift), number))
        cv2.imwrite(str(root / f"mask/{number}.png"), (image > 0.8).astype(np.uint8))
        lines.append(f"r{number},{split},g{number},rgb/{number}.png,thermal/{number}.png,{'ab'[number % 2]},mask/{number}.png")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (root / "manifest.toml").write_text(TOML, "utf-8")
    return root


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only."""
    return make_set(tmp_path_factory.mktemp("sound") / "shapes")


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "shapes"))


def check(root: Path, sample: int = 0, max_residual: float = 2.0) -> PairCheck:
    return check_pairs(Manifest.load(root.absolute()), sample, 0, max_residual, lambda what, done, total: None)


def graver(found: PairCheck) -> list[Finding]:
    return [finding for finding in found.findings if finding.severity != "note"]


def only(found: PairCheck, severity: str, subject: str) -> str:
    """The text of the one finding that is no note."""
    assert [(finding.severity, finding.subject) for finding in graver(found)] == [(severity, subject)], graver(found)
    return graver(found)[0].text


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_sound_data_have_no_findings_but_notes(sound: Path) -> None:
    found = check(sound)
    assert not graver(found)
    assert found.errors == 0
    assert {finding.subject for finding in found.findings} == {"registration", "time"}
    assert found.files == 36
    json.dumps(found.as_json(), allow_nan=False)


@pytest.mark.parametrize("shift", [(2.0, -3.0), (-4.5, 1.25), (0.0, 0.0)])
def test_a_planted_shift_is_found_to_half_a_pixel(shift: tuple[float, float]) -> None:
    for seed in range(5):
        image = scene(seed)
        found = shift_between(image, as_thermal(moved(image, *shift), seed).astype(np.float32))
        assert np.hypot(found.x - shift[0], found.y - shift[1]) < 0.5
        assert found.peak > 4.5


def test_holes_are_no_edges() -> None:
    image = scene(0)
    holed, other = image.copy(), moved(image, 3.0, 2.0)
    for left in range(0, WIDTH, 16):
        holed[:, left : left + 6] = np.nan
        other[:, left : left + 6] = np.nan  # the holes did not move; alone they would say 0
    found = shift_between(holed, other)
    assert np.hypot(found.x - 3, found.y - 2) < 1.0  # a third of each row is gone


def test_what_has_no_texture_is_not_measurable() -> None:
    even = np.full((HEIGHT, WIDTH), 7.0, np.float32)
    assert shift_between(even, even).peak == 0
    assert shift_between(scene(0), np.full_like(even, np.nan)).peak == 0
    assert shift_between(scene(0)[:4, :4], scene(0)[:4, :4]).peak == 0  # too small to tell one shift from another
    noise = [np.random.default_rng(seed).normal(size=even.shape).astype(np.float32) for seed in range(2)]
    assert shift_between(*noise).peak < 4.5


def test_misaligned_data_are_flagged_and_the_offset_is_told(tmp_path: Path) -> None:
    found = check(make_set(tmp_path / "shapes", (2.0, -3.0)))
    (registration,) = found.registrations
    assert np.hypot(registration.offset[0] - 2, registration.offset[1] + 3) < 0.5
    assert registration.paired.measurable > 0.8 * len(SPLITS)
    text = only(found, "warning", "registration")
    assert "The limit is 2" in text
    assert " pixels of rgb apart (median of " in text  # of two that are equally fine the first
    assert not graver(check(tmp_path / "shapes", max_residual=5.0))


def test_shuffled_pairs_lie_farther_apart_than_true_ones(sound: Path) -> None:
    (registration,) = check(sound).registrations
    assert registration.paired.median < 0.5
    assert registration.shuffled.median_of_all > 4 * registration.paired.median_of_all
    assert registration.paired.measurable > 0.8 * registration.paired.pairs
    assert registration.shuffled.measurable < 0.2 * registration.shuffled.pairs


def test_pairs_that_are_mixed_up_are_not_measurable(copy: Path) -> None:
    for number in range(0, len(SPLITS), 2):
        one, other = copy / f"thermal/{number}.png", copy / f"thermal/{number + 1}.png"
        kept = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(kept)
    assert "mixed up" in only(check(copy), "warning", "registration")


def test_sensors_of_unlike_size_are_measured_in_the_coarser_frame(copy: Path) -> None:
    for path in (copy / "thermal").iterdir():
        thermal = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), cv2.resize(moved(thermal, 8.0, 0.0), (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA))
    assert "sizes differ within 18 rows" in next(finding.text for finding in graver(check(copy)) if finding.severity == "error")
    with (copy / "manifest.toml").open("a", encoding="utf-8") as file:
        file.write("[pairs]\nsame_size = false\n")
    (registration,) = check(copy).registrations
    assert np.hypot(registration.offset[0] - 4, registration.offset[1]) < 0.5


def test_the_scan_of_a_laser_is_measured_and_drawn_on_the_image(tmp_path: Path) -> None:
    """Blocks before a wall; the camera sees each in its own shade, the scanner at its own range."""
    height, width, focal = 90, 160, 120.0
    intrinsic = np.array([[focal, 0, width / 2 - 0.5, 0], [0, focal, height / 2 - 0.5, 0], [0, 0, 1.0, 0]])
    axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    write_calibration(tmp_path / "c.json", Camera(intrinsic, axes, (), (width, height)))
    lines = ["id,split,group,rgb,lidar,calibration,label"]
    for number, split in enumerate(("train", "train", "val", "test")):
        rng = np.random.default_rng(number)
        depth, shade = np.full((height, width), 40.0, np.float32), np.full((height, width), 90, np.uint8)
        for _ in range(12):
            x, y, wide, high = (int(rng.integers(low, up)) for low, up in ((0, 140), (0, 70), (10, 30), (10, 30)))
            depth[y : y + high, x : x + wide] = rng.uniform(5, 30)
            shade[y : y + high, x : x + wide] = rng.integers(0, 255)
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.repeat(shade[..., None], 3, 2))
        rows, columns = (part.ravel() for part in np.mgrid[0:height:2, 0:width])
        z = depth[rows, columns]
        scan = np.stack([z, -(columns - width / 2 + 0.5) / focal * z, -(rows - height / 2 + 0.5) / focal * z, 0 * z], 1)
        scan.astype(np.float32).tofile(tmp_path / f"{number}.bin")
        lines.append(f"{number},{split},{number},{number}.png,{number}.bin,c.json,a")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "manifest.toml").write_text(
        'name = "scans"\nclasses = ["a"]\n[modalities.rgb]\nsensor = "rgb"\n'
        '[modalities.lidar]\nsensor = "lidar"\noutputs = ["range", "valid"]\nrange = [0.0, 80.0]\n',
        "utf-8",
    )
    found = check(tmp_path)
    (registration,) = found.registrations
    assert registration.paired.measurable == 4
    assert registration.paired.median < 1.5
    (overlay,) = draw_overlays(Manifest.load(tmp_path), found.rows[:1], [""])
    pictures = dict(overlay.pictures)
    assert list(pictures) == ["rgb", "lidar", "lidar on rgb", "edges of lidar on rgb"]
    coloured = np.ptp(pictures["lidar on rgb"].astype(int), axis=2) > 30
    assert 0.2 < coloured.mean() < 1.0


def test_files_that_are_missing_cut_off_or_no_image(copy: Path) -> None:
    (copy / "rgb/1.png").unlink()
    image = copy / "thermal/2.png"
    image.write_bytes(image.read_bytes()[:500])
    (copy / "rgb/3.png").write_bytes(b"words")
    (copy / "rgb/4.png").write_bytes(b"")
    (copy / "mask/5.png").unlink()
    texts = [finding.text for finding in graver(check(copy)) if finding.severity == "error"]
    assert "4 of 36 files cannot be read: rgb/1.png (no such file; row 'r1')" in texts[0]
    assert "thermal/2.png (is cut off after 500 bytes; row 'r2')" in texts[0]
    assert "rgb/3.png (is not an image that OpenCV can decode; row 'r3')" in texts[0]
    assert "rgb/4.png (is empty; row 'r4')" in texts[0]
    assert "mask/5.png (row 'r5')" in texts[1]


def test_one_size_within_a_pair_even_outside_the_sample(copy: Path) -> None:
    image = cv2.imread(str(copy / "rgb/7.png"))
    cv2.imwrite(str(copy / "rgb/7.png"), image[:, :-8])
    for sample in (0, 3):
        texts = [finding.text for finding in check(copy, sample).findings if finding.severity == "error"]
        assert any("sizes differ within 1 rows: row 'r7' (rgb 120x96, thermal 128x96)" in text for text in texts)


def test_profiles_and_orientations_are_noted(copy: Path) -> None:
    image = Image.open(copy / "rgb/0.png")
    image.save(copy / "rgb/0.png", icc_profile=b"a profile")
    turned = Image.open(copy / "rgb/1.png").rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(copy / "rgb/1.jpg", exif=exif)
    replace(copy / "manifest.csv", "rgb/1.png", "rgb/1.jpg")
    found = check(copy)
    assert not graver(found)  # the turned file has the size of its pair once it is turned back
    notes = [finding.text for finding in found.findings if finding.subject == "files"]
    assert "profile, which is not applied: rgb/0.png" in notes[0]
    assert "EXIF orientation when they are read: rgb/1.jpg" in notes[1]


def test_the_same_file_in_two_splits_is_an_error(copy: Path) -> None:
    shutil.copy(copy / "rgb/0.png", copy / "rgb/17.png")
    found = check(copy)
    text = next(finding.text for finding in graver(found) if finding.severity == "error")
    assert "rgb of 'r0' (train, rgb/0.png) and 'r17' (test, rgb/17.png)" in text
    assert not found.leaks  # told once


def test_the_same_file_twice_in_one_split_is_a_warning_and_crops_may_share_one(copy: Path) -> None:
    replace(copy / "manifest.csv", "rgb/1.png,thermal/1.png", "rgb/0.png,thermal/0.png")
    assert "rgb of 'r0' (rgb/0.png) and 'r1' (rgb/0.png)" in only(check(copy), "warning", "files")
    lines = (copy / "manifest.csv").read_text("utf-8").splitlines()
    cropped = [lines[0] + ",crop"] + [line + ",0 0 50 50" for line in lines[1:]]
    (copy / "manifest.csv").write_text("\n".join(cropped) + "\n", "utf-8")
    assert not [finding for finding in graver(check(copy)) if finding.subject in ("files", "leaks")]


def test_near_duplicates_across_splits_are_found(copy: Path) -> None:
    image = cv2.imread(str(copy / "rgb/0.png")).astype(np.float32)
    other = moved(image, 1.0, 0.5) * 0.9 + np.random.default_rng(0).normal(0, 3, image.shape) + 8
    cv2.imwrite(str(copy / "rgb/16.jpg"), np.clip(other, 0, 255).astype(np.uint8))
    replace(copy / "manifest.csv", "rgb/16.png", "rgb/16.jpg")
    found = check(copy)
    assert [(leak.first, leak.second, leak.splits) for leak in found.leaks] == [("rgb/0.png", "rgb/16.jpg", ("train", "test"))]
    assert "rgb/0.png (train) and rgb/16.jpg (test)" in only(found, "warning", "leaks")


def test_pictures_that_share_a_hash_alone_are_no_leak(copy: Path) -> None:
    rng = np.random.default_rng(0)
    signs = rng.permutation(np.repeat([-1.0, 1.0], 32)).reshape(8, 8)
    for number in (0, 16):
        waves = np.zeros((32, 32))
        waves[8:16, 8:16] = rng.normal(0, 40, (8, 8))
        waves[:8, :8] = signs * rng.uniform(5, 120, (8, 8))
        grey = np.clip(np.kron(cv2.idct(waves), np.ones((3, 4))) + 128, 0, 255).astype(np.uint8)
        cv2.imwrite(str(copy / f"rgb/{number}.png"), np.repeat(grey[..., None], 3, 2))
    manifest = Manifest.load(copy)
    thumbnails = [
        fact.thumbnail for key, fact in scan_files(manifest, lambda: None).items() if key in (("rgb", "rgb/0.png"), ("rgb", "rgb/16.png"))
    ]
    assert (difference_bits(thumbnails[0]) != difference_bits(thumbnails[1])).sum() <= FARTHEST
    assert not check(copy).leaks


def test_even_images_are_no_leak_but_show_nothing(copy: Path) -> None:
    for number in (0, 16):
        cv2.imwrite(str(copy / f"rgb/{number}.png"), np.full((HEIGHT, WIDTH, 3), 120, np.uint8))
    found = check(copy)
    assert not found.leaks
    assert "rgb: 2 of 18 images show nothing" in only(found, "warning", "exposure")


def test_oddly_exposed_images_are_named(copy: Path) -> None:
    image = cv2.imread(str(copy / "rgb/3.png")).astype(np.float32)
    cv2.imwrite(str(copy / "rgb/3.png"), np.clip(image * 2.5, 0, 255).astype(np.uint8))
    texts = [finding.text for finding in graver(check(copy)) if finding.subject == "exposure"]
    assert any("high end of the range (255): 'r3'" in text for text in texts)
    assert any("darker or brighter than the others" in text and "'r3'" in text for text in texts)


def test_outliers_are_measured_by_the_others() -> None:
    means = np.array([10.0, 11.0, 9.0, 10.5, 9.5, 100.0])
    assert outliers(means, 255.0).tolist() == [False] * 5 + [True]
    assert not outliers(np.array([10.0, 10.0, 10.0, 10.5]), 255.0).any()  # hardly any spread is no reason to shout


def class_only_in_test(root: Path) -> None:
    rows = (root / "manifest.csv").read_text("utf-8").splitlines()
    (root / "manifest.csv").write_text("\n".join(row.replace(",b,", ",a,") if ",test," not in row else row for row in rows) + "\n", "utf-8")


def class_nowhere(root: Path) -> None:
    replace(root / "manifest.toml", '["a", "b"]', '["a", "b", "c"]')


def no_test_rows(root: Path) -> None:
    replace(root / "manifest.csv", ",test,", ",val,")


LABELS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "only in test": (class_only_in_test, "error", "class 'b' only in test: it is measured and never learned"),
    "nowhere": (class_nowhere, "warning", "class 'c' has no labelled row"),
    "no test": (no_test_rows, "warning", "split 'test' has no rows"),
}


@pytest.mark.parametrize(("change", "severity", "text"), LABELS.values(), ids=list(LABELS))
def test_labels_that_make_no_sense(change: Callable[[Path], None], severity: str, text: str, copy: Path) -> None:
    change(copy)
    assert only(check(copy), severity, "labels") == text


def test_an_unknown_mask_code_is_an_error(copy: Path) -> None:
    cv2.imwrite(str(copy / "mask/2.png"), np.full((HEIGHT, WIDTH), 9, np.uint8))
    text = only(check(copy), "error", "files")
    assert "1 of 18 sampled rows cannot be read: row 'r2': mask/2.png: unknown mask codes [9]" in text


def test_statistics_far_from_the_manifest_are_told(copy: Path) -> None:
    replace(copy / "manifest.toml", "mean = [295.2]", "mean = [290.0]")
    text = only(check(copy), "warning", "normalisation")
    assert "thermal: it is normalised by mean [290] and std [3.8] (of manifest.toml, or" in text
    assert "the sampled train rows have mean = [29" in text


def test_images_and_masks_of_other_proportions_are_told(copy: Path) -> None:
    with (copy / "manifest.toml").open("a", encoding="utf-8") as file:
        file.write("[pairs]\nsame_size = false\n")
    thermal = cv2.imread(str(copy / "thermal/0.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(copy / "thermal/1.png"), cv2.resize(thermal, (WIDTH // 2, HEIGHT // 2)))  # as it should be, but smaller
    assert not graver(check(copy))
    cv2.imwrite(str(copy / "thermal/0.png"), thermal[:, :HEIGHT])
    text = only(check(copy), "warning", "files")
    assert "thermal: 1 images have other proportions than the most, 128x96 (16), " in text
    assert "they are stretched; thermal/0.png" in text
    cv2.imwrite(str(copy / "thermal/0.png"), thermal)
    cv2.imwrite(str(copy / "mask/3.png"), np.zeros((HEIGHT, HEIGHT), np.uint8))
    assert "1 masks have other proportions than their images: mask/3.png (96x96 for 128x96)" in only(check(copy), "warning", "files")


def test_a_sensor_that_most_rows_lack_is_told(copy: Path) -> None:
    rows = (copy / "manifest.csv").read_text("utf-8").splitlines()
    rows[3:] = [",".join("" if at == 4 else cell for at, cell in enumerate(row.split(","))) for row in rows[3:]]
    (copy / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")
    assert "16 of 18 rows have no thermal: they teach and learn nothing by it" in only(check(copy), "warning", "pairs")


def test_crops_count_alike_whatever_their_size(tmp_path: Path) -> None:
    """A network sees each at the same size."""
    image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    image[:8, :8] = 130
    (tmp_path / "rgb").mkdir()
    for name in "01":
        cv2.imwrite(str(tmp_path / f"rgb/{name}.png"), image)
    (tmp_path / "manifest.toml").write_text('name = "x"\nclasses = ["a"]\n[modalities.rgb]\nsensor = "rgb"\n', "utf-8")
    crops = ("0 0 8 8", "16 16 96 96")
    lines = [f"{n},train,{n},rgb/{n}.png,a,{crop}" for n, crop in enumerate(crops)]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,split,group,rgb,label,crop", *lines]) + "\n", "utf-8")
    found = check(tmp_path).normalisations["rgb"]
    assert found.mean == pytest.approx((80.0,) * 3)
    assert found.std == pytest.approx((50.0,) * 3)


def test_times_are_counted(copy: Path) -> None:
    lines = (copy / "manifest.csv").read_text("utf-8").splitlines()
    timed = [lines[0] + ",rgb.time,thermal.time"] + [f"{line},{n},{n + 0.25 if n else ''}" for n, line in enumerate(lines[1:])]
    (copy / "manifest.csv").write_text("\n".join(timed) + "\n", "utf-8")
    times = check(copy).timing
    assert (times.timed, times.untimed, times.median, times.largest) == (17, 1, 0.25, 0.25)


def test_a_sample_is_even_over_splits_and_drawn_by_seed(sound: Path) -> None:
    splits = [row.split for row in check(sound, sample=9).rows]
    assert sorted(splits) == ["test"] * 3 + ["train"] * 3 + ["val"] * 3
    manifest = Manifest.load(sound)
    drawn = [tuple(row.id for row in check_pairs(manifest, 6, seed, 2.0, lambda *_: None).rows) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(ValueError, match="sample is 0"):
        check(sound, sample=-1)


def test_overlays_show_both_sensors_and_one_on_the_other(sound: Path) -> None:
    found = check(sound, sample=3)
    (overlay,) = draw_overlays(Manifest.load(sound), found.rows[:1], ["a note"])
    titles = [title for title, _ in overlay.pictures]
    assert titles == ["rgb", "thermal", "checkerboard of rgb and thermal", "edges of thermal on rgb", "mask"]
    assert len({picture.shape for _, picture in overlay.pictures}) == 1


def test_a_checkerboard_takes_squares_in_turn_and_edges_lie_where_they_are() -> None:
    black, white = np.zeros((40, 80, 3), np.uint8), np.full((40, 80, 3), 255, np.uint8)
    board = checkerboard(black, white)
    assert board[5, 5, 0] == 0
    assert board[5, 15, 0] == 255
    assert board[15, 5, 0] == 255
    image = np.zeros((40, 80), np.float32)
    image[:, 40:] = 1
    rows, columns = np.nonzero((edges_on(black, image) == (0, 255, 255)).all(2))
    assert len(rows) > 30
    assert np.abs(columns - 39.5).max() <= 1.5
