"""The whole check, in the order in which it runs: files, leaks, labels, times, then the pixels of sampled rows."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from xkd.data.check.bounds import object_findings
from xkd.data.check.contents import column_findings, content_findings
from xkd.data.check.exposure import Exposure, NormalisationCheck, expose, exposure_findings, normalisation, normalisation_findings
from xkd.data.check.files import file_findings, scan_files, users
from xkd.data.check.finding import Finding, listed
from xkd.data.check.frames import Frame, read_frame, sample_rows
from xkd.data.check.labels import Balance, Timing, balance, balance_findings, timing, timing_findings
from xkd.data.check.leaks import Leak, duplicate_findings, near_duplicates, near_findings
from xkd.data.check.overlay import in_camera
from xkd.data.check.residual import Measured, Residual, measure_pair, residual_findings, residual_of
from xkd.data.check.splits import split_findings
from xkd.data.check.strides import stride_findings
from xkd.data.manifest import Manifest
from xkd.data.rows import Row

Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many

_ORDER = ("error", "warning", "note")


@dataclass(frozen=True)
class PairCheck:
    """What was found in a data set, gravest first, and every number behind it; `rows` are those whose pixels were read."""

    name: str
    root: str
    findings: tuple[Finding, ...]
    files: int
    rows: tuple[Row, ...]
    balance: Balance
    timing: Timing
    residuals: tuple[Residual, ...]
    exposures: dict[str, tuple[Exposure, ...]]
    normalisations: dict[str, NormalisationCheck]
    leaks: tuple[Leak, ...]

    @property
    def errors(self) -> int:
        return sum(finding.severity == "error" for finding in self.findings)

    def to_look_at(self, count: int) -> list[tuple[Row, str]]:
        """`count` rows and a line about each: the two that are worst registered, the worst first, the others as they were drawn."""
        lengths: dict[str, float] = defaultdict(float)
        for one in self.residuals:
            for pair in [pair for pair in one.pairs if pair.paired.peak >= one.limit]:
                lengths[pair.row] = max(lengths[pair.row], pair.paired.length)
        worst = sorted(lengths, key=lambda row: -lengths[row])[:2]
        order = sorted(self.rows, key=lambda row: worst.index(row.id) if row.id in worst else len(worst))
        return [(row, f"{row.split}; {_about(row.id, self.residuals)}") for row in order[:count]]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers and words, None where a number is not defined; rows by their ids."""
        return {key: _plain(value) for key, value in asdict(self).items() if key != "rows"} | {"rows": [row.id for row in self.rows]}


def check_pairs(manifest: Manifest, sample: int, seed: int, max_residual: float, progress: Progress) -> PairCheck:
    """Look at every file and row, and at the pixels of `sample` rows (0: all), drawn by `seed` evenly from the splits.

    `max_residual` is in pixels. What is wrong with the data becomes a finding; `ValueError` is raised for wrong arguments alone. About
    4 KB per image file are held in memory.
    """
    if sample < 0 or max_residual <= 0:
        raise ValueError(f"sample is 0 (all rows) or more and max_residual above 0; got {sample} and {max_residual}")
    total = len(users(manifest.rows))
    done = itertools.count(1)
    facts = scan_files(manifest, lambda: progress("files", next(done), total))
    leaks, counts, times = near_duplicates(manifest, facts), balance(manifest), timing(manifest)
    rows = sample_rows(manifest.rows, facts, sample, seed)
    pixels = Pixels(manifest)
    for number, row in enumerate(rows, 1):
        pixels.add(row)
        progress("pixels", number, len(rows))
    residuals = tuple(residual_of(*names, pairs) for names, pairs in pixels.pairs.items())
    exposures = {name: tuple(pixels.exposures[name]) for name in manifest.modalities}
    measured = {name: normalisation(manifest.modalities[name], those) for name, those in exposures.items()}
    known = {name: one for name, one in measured.items() if one is not None}
    findings = [
        *file_findings(manifest, facts),
        *duplicate_findings(manifest, facts),
        *column_findings(manifest, facts),
        *object_findings(manifest, facts),
        *_reading_findings(pixels.problems, len(rows)),
        *balance_findings(counts),
        *split_findings(manifest, counts),
        *near_findings(leaks),
        *itertools.chain.from_iterable((*residual_findings(one, max_residual), *stride_findings(one)) for one in residuals),
        *_registered_findings(manifest),
        *content_findings(manifest, exposures),
        *exposure_findings(manifest.modalities, exposures),
        *normalisation_findings(manifest.modalities, known),
        *timing_findings(manifest, times),
    ]
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    read = tuple(row for row in rows if row.id not in pixels.problems)
    return PairCheck(
        manifest.name, str(manifest.root), tuple(findings), total, read, counts, times, residuals, exposures, known, tuple(leaks)
    )


class Pixels:
    """What the sampled rows showed so far; a row's stranger is the one read before it, so that one row is in memory at a time."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.problems: dict[str, str] = {}
        self.exposures: dict[str, list[Exposure]] = defaultdict(list)
        self.pairs: dict[tuple[str, str], list[Measured]] = defaultdict(list)
        self._before: dict[str, Frame] = {}

    def add(self, row: Row) -> None:
        try:
            frame = read_frame(self.manifest, row)
            exposures = {name: expose(self.manifest, frame, name) for name in frame.contents}
        except (ValueError, FileNotFoundError) as error:
            self.problems[row.id] = str(error)
            return
        for name, exposure in exposures.items():
            self.exposures[name].append(exposure)
        for first, second in itertools.combinations([name for name in frame.contents if in_camera(frame, name)], 2):
            self.pairs[first, second].append(measure_pair(frame, self._before.get(second), first, second))
        self._before |= dict.fromkeys(frame.contents, frame)


def _about(row: str, residuals: Sequence[Residual]) -> str:
    parts = []
    for one in residuals:
        for pair in one.pairs:
            if pair.row == row:
                x, y, peak = pair.paired
                apart = f"{pair.paired.length:.1f} pixels apart (x {x:+.1f}, y {y:+.1f})" if peak >= one.limit else "not measurable"
                parts.append(f"{one.first} and {one.second} {apart}")
    return "; ".join(parts) or "one sensor"


def _reading_findings(problems: dict[str, str], count: int) -> list[Finding]:
    if not problems:
        return []
    names = listed([f"row '{row}': {problem}" for row, problem in problems.items()])
    return [Finding("error", "files", f"{len(problems)} of {count} sampled rows cannot be read: {names}")]


def _registered_findings(manifest: Manifest) -> list[Finding]:
    findings = []
    for name, one in manifest.registrations.items():
        text = f"{name} is read into {one.reference}'s frame by [registration.{name}] ({one.model}), and shown and measured there; it sees "
        findings.append(Finding("note", "registration", f"{text}{100 * one.seen_share:.0f} % of that frame"))
    return findings


def _plain(value: Any) -> Any:
    """For JSON, which has no word for what is not a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    return value
