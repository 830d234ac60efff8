"""Every file of a data set, looked at once: is it there, whole, of the right size, and what is its picture like in 64 bits?"""

from __future__ import annotations

import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from xkd.data.check.finding import Finding, listed
from xkd.data.clips import side_by_side
from xkd.data.manifest import Manifest
from xkd.data.prepare.stems import one_form
from xkd.data.rows import Row
from xkd.modalities.files import TIFFS, is_whole, read_raster
from xkd.packed import TWICE, content, is_packed, is_there, names_in, opened

_ORIENTATION: Final = 0x0112  # EXIF
_TURNED: Final = (5, 6, 7, 8)  # orientations that swap height and width
_IMAGES: Final = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp")
_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT
_REDUCED: Final = 512  # pixels; a JPEG whose sides are longer is decoded at a quarter of its size, which is many times faster


@dataclass(frozen=True)
class FileFacts:
    """One file of one sensor. `size` is (width, height) as it is shown, (0, 0) where its header is not that of an image."""

    problem: str = ""
    digest: str = ""
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    profile: bool = False  # an embedded ICC profile
    thumbnail: NDArray[np.float32] | None = None  # (32, 32), none where OpenCV does not decode it


Facts = Mapping[tuple[str, str], FileFacts]  # (sensor, path below the root)


def users(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """(sensor, path) -> the rows that read it, in the manifest's order."""
    rows_of: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        for name, paths in row.files.items():
            for path in paths:
                rows_of[name, path].append(row)
    return dict(rows_of)


def scan_files(manifest: Manifest, tick: Callable[[], None]) -> dict[tuple[str, str], FileFacts]:
    """Facts of every file that a sensor reads; `tick` is called after each."""
    facts = {}
    for name, path in users(manifest.rows):
        facts[name, path] = _facts(manifest.root / path)
        tick()
    return facts


def _facts(path: Path) -> FileFacts:
    if not is_there(path):
        return FileFacts(problem=_absent(path))
    if is_packed(path) and path.is_file():
        return FileFacts(problem=TWICE)
    try:
        data = content(path)
    except (ValueError, FileNotFoundError) as error:  # of a shard
        return FileFacts(problem=str(error).removeprefix(f"{path}: "))
    if not data:
        return FileFacts(problem="is empty")
    digest = blake2b(data, digest_size=16).hexdigest()
    if not is_whole(data):
        return FileFacts(problem=f"is cut off after {len(data)} bytes", digest=digest)
    try:
        with Image.open(io.BytesIO(data)) as header:
            size, profile = header.size, "icc_profile" in header.info
            # Pillow would decode all of a PNG, to look for the tag behind the pixels
            oriented = header.format != "PNG" or b"eXIf" in data
            orientation = int(header.getexif().get(_ORIENTATION, 1)) if oriented else 1
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        size, profile, orientation = (0, 0), False, 1  # its sensor may still read it: see `frames`
    thumbnail = thumbnail_of(data, path, size)
    if thumbnail is None and path.suffix.lower() in _IMAGES:
        return FileFacts(problem="is not an image that OpenCV can decode", digest=digest)
    if orientation in _TURNED:
        size = (size[1], size[0])
    return FileFacts("", digest, size, orientation, profile, thumbnail)


def thumbnail_of(data: bytes, path: Path, size: tuple[int, int]) -> NDArray[np.float32] | None:
    """(32, 32) grey means in the file's counts, of what was measured; none for a file that cannot be read without its sensor."""
    if path.suffix.lower() in TIFFS:
        return _thumbnail_of_tiff(path)
    reduced = path.suffix.lower() in (".jpg", ".jpeg") and min(size) >= _REDUCED
    flag = cv2.IMREAD_REDUCED_GRAYSCALE_4 if reduced else cv2.IMREAD_GRAYSCALE
    log: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4 and 5
    level = log.getLogLevel()
    log.setLogLevel(_SILENT)  # what it cannot decode is said in the findings
    try:
        grey = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        grey = None
    finally:
        log.setLogLevel(level)
    if grey is None:
        return None
    small = cv2.resize(grey.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA)
    return np.asarray(np.nan_to_num(small, posinf=0.0, neginf=0.0), np.float32)


def _thumbnail_of_tiff(path: Path) -> NDArray[np.float32] | None:
    """A value that means "no data" would hide all others."""
    try:
        values = read_raster(path).measured()
    except ValueError:
        return None
    seen = np.isfinite(values)
    grey = np.where(seen, values, values.mean(where=seen) if seen.any() else 0).mean(2)
    return np.asarray(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA), np.float32)


def _absent(path: Path) -> str:
    """That there is no such file, or what it is called on the disk in other letters."""
    near = [other for other in sorted(names_in(path.parent)) if _plain(other) == _plain(path.name)]
    if not near:
        return "no such file"
    form = "composed and decomposed letters" if one_form(near[0]) == one_form(path.name) else "upper and lower case"
    return f"no such file, but one whose name differs in {form}: {near[0]!r}"


def _plain(name: str) -> str:
    return one_form(name).casefold()


def _alike_ids(manifest: Manifest) -> list[Finding]:
    """Rows whose ids are one but for upper and lower case, or the form of their letters: halves of a pair, perhaps."""
    first: dict[str, str] = {}
    twins = [f"'{other}' and '{row.id}'" for row in manifest.rows if (other := first.setdefault(_plain(row.id), row.id)) != row.id]
    text = f"{len(twins)} ids differ in upper and lower case or the form of letters alone: {listed(twins)}; are they rows of one thing?"
    return [Finding("warning", "pairs", text)] if twins else []


def file_findings(manifest: Manifest, facts: Facts) -> list[Finding]:
    """Missing, unreadable and mismatched files; embedded profiles and orientations."""
    used = users(manifest.rows)
    bad = [f"{path} ({facts[name, path].problem}; row '{rows[0].id}')" for (name, path), rows in used.items() if facts[name, path].problem]
    findings = [Finding("error", "files", f"{len(bad)} of {len(used)} files cannot be read: {listed(bad)}")] if bad else []
    if lost := list(_missing_others(manifest)):
        findings.append(Finding("error", "files", f"{len(lost)} masks or calibrations are missing: {listed(lost)}"))
    if manifest.pairs.same_size and (odd := list(_mismatches(manifest, facts))):
        findings.append(
            Finding(
                "error",
                "files",
                f"sizes differ within {len(odd)} rows: {listed(odd)}; make them equal, or set [pairs] same_size = false in manifest.toml",
            )
        )
    if odd := list(_not_as_registered(manifest, facts)):
        text = (
            f"{len(odd)} files have another size than was registered: {listed(odd)}; bring them to that size, or register the sensor again"
        )
        findings.append(Finding("error", "files", text))
    findings += _size_findings(manifest, facts) + _alike_ids(manifest)
    if profiles := [path for name, path in used if facts[name, path].profile]:
        findings.append(
            Finding("note", "files", f"{len(profiles)} images have an embedded profile, which is not applied: {listed(profiles)}")
        )
    if turned := [path for name, path in used if facts[name, path].orientation != 1]:
        text = f"{len(turned)} images are stored turned (EXIF orientation): reading turns them back or refuses them; {listed(turned)}"
        findings.append(Finding("note", "files", text))
    return findings


def _size_findings(manifest: Manifest, facts: Facts) -> list[Finding]:
    """Whole images of other proportions than most of their sensor's, and masks of others than their image: they would be stretched."""
    findings = []
    for name in manifest.modalities:
        rows = [row for row in manifest.rows if row.crop is None]
        whole = {path: _of_a_frame(facts[name, path].size, row, name) for row in rows for path in row.files.get(name, ())}
        sizes = {path: size for path, size in whole.items() if min(size) > 0}
        counts = Counter(sizes.values())
        usual = counts.most_common(1)[0][0] if counts else (1, 1)
        odd = [path for path, size in sizes.items() if _unlike(size, usual)]
        common = ", ".join(f"{width}x{height} ({count})" for (width, height), count in counts.most_common(4))
        if 0 < len(odd) < len(sizes) / 2:
            text = f"{name}: {len(odd)} images have other proportions than the most, {common}: they are stretched; {listed(odd)}"
            findings.append(Finding("warning", "files", text))
        elif odd:
            text = f"{name}: the images have many proportions, {common}: a view has one, to which all are stretched; crops keep theirs"
            findings.append(Finding("warning", "files", text))
    shown = {row.mask: next((facts[name, paths[0]].size for name, paths in row.files.items()), (0, 0)) for row in manifest.rows if row.mask}
    beside = {path: (header_size(manifest.root / path), size) for path, size in shown.items()}
    if stretched := [
        f"{path} ({mask[0]}x{mask[1]} for {size[0]}x{size[1]})"
        for path, (mask, size) in beside.items()
        if min(*mask, *size) > 0 and _unlike(mask, size)
    ]:
        text = f"{len(stretched)} masks have other proportions than their images: {listed(stretched)}"
        findings.append(Finding("warning", "files", text))
    return findings


def _of_a_frame(size: tuple[int, int], row: Row, name: str) -> tuple[int, int]:
    """Of a strip that of one of its frames."""
    return size[0] // side_by_side(row, name), size[1]


def _unlike(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether one is no reduction of the other, by more than rounding."""
    return abs(one[0] * other[1] - one[1] * other[0]) > max(*one, *other)


def header_size(path: Path) -> tuple[int, int]:
    """(width, height) as the file's header says; (0, 0) where there is none."""
    try:
        with opened(path) as file, Image.open(file) as header:
            return header.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return 0, 0


def _missing_others(manifest: Manifest) -> Iterator[str]:
    seen: dict[str, set[str]] = {}
    for row in manifest.rows:
        for path in filter(None, (row.mask, row.calibration)):
            folder, name = os.path.split(path)
            if folder not in seen:
                seen[folder] = names_in(manifest.root / folder)
            if name not in seen[folder]:
                yield f"{path} (row '{row.id}')"


def _mismatches(manifest: Manifest, facts: Facts) -> Iterator[str]:
    counted = set()
    for row in manifest.rows:
        sizes = {name: facts[name, paths[0]].size for name, paths in row.files.items() if min(facts[name, paths[0]].size) > 0}
        sizes |= {name: one.size for name, one in manifest.registrations.items() if name in sizes}  # as they are read
        if len(set(sizes.values())) > 1 and (key := tuple(row.files.items())) not in counted:
            counted.add(key)  # crops of one frame are one mistake
            yield f"row '{row.id}' (" + ", ".join(f"{name} {width}x{height}" for name, (width, height) in sizes.items()) + ")"


def _not_as_registered(manifest: Manifest, facts: Facts) -> Iterator[str]:
    wanted = {name: one.sensor_size for name, one in manifest.registrations.items()}
    wanted |= {one.reference: one.size for one in manifest.registrations.values()}
    for name, path in facts:
        size = facts[name, path].size
        if name in wanted and min(size) > 0 and size != wanted[name]:
            yield f"{path} ({size[0]}x{size[1]} for {wanted[name][0]}x{wanted[name][1]})"
