"""Whether the splits can answer: are they those of the folders, and has each labels of more than one class?"""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import Final

from xkd.data.check.finding import Finding, Severity, listed
from xkd.data.check.labels import Balance
from xkd.data.manifest import Manifest
from xkd.data.prepare.split_names import named_split
from xkd.data.rows import SPLITS, Row

_FAR: Final = 0.1  # of the span of the training rows' numbers


def split_findings(manifest: Manifest, counts: Balance) -> list[Finding]:
    return [*_folder_findings(manifest), *_label_findings(manifest, counts)]


def _folder_findings(manifest: Manifest) -> list[Finding]:
    """Rows whose files lie in a folder of another split's name: a download's test images may have become training rows."""
    moved: Counter[tuple[str, str]] = Counter()
    examples = []
    for row in manifest.rows:
        said = {split for part in _folders(row) if (split := named_split(part))}
        if len(said) == 1 and row.split not in said:
            moved[said.pop(), row.split] += 1
            examples.append(row.id)
    if not moved:
        return []
    pairs = ", ".join(f"{count} of folder {folder} in split {split}" for (folder, split), count in moved.most_common())
    text = f"{sum(moved.values())} rows are in another split than their folder says: {pairs}; {listed(examples)}. Where the folders are"
    return [Finding("warning", "leaks", f"{text} the publisher's splits, numbers on test are not comparable with others'")]


def _folders(row: Row) -> set[str]:
    paths = [PurePosixPath(path) for of in row.files.values() for path in of] + [PurePosixPath(row.id)]
    return {part for path in paths for part in path.parts[:-1]}


def _label_findings(manifest: Manifest, counts: Balance) -> list[Finding]:
    """Of classes and numbers: a split that is annotated in another way (masks, boxes) needs no labels."""
    splits = [split for split in SPLITS if counts.rows[split] and (manifest.classes or manifest.numbers)]
    bare = [split for split in splits if not any(counts.have[what][split] for what in ("a label", "a mask", "boxes"))]
    findings = []
    if bare:
        by = "numbers" if manifest.numbers else "classes"
        text = f"no row of {' and '.join(bare)} has a label, a mask or boxes: nothing is learned or measured there by {by}"
        findings.append(Finding("warning", "labels", f"{text}; if there is a label table, do its ids match?"))
    for split in splits:
        there = [name for name in manifest.classes if counts.classes[name][split]]
        if len(there) == 1 and len(manifest.classes) > 1 and not manifest.multilabel:
            severity: Severity = "error" if split == "train" else "warning"
            text = f"all labels of split '{split}' are '{there[0]}': a network that always says so is right there"
            findings.append(Finding(severity, "labels", text))
    return [*findings, *_number_findings(counts)]


def _number_findings(counts: Balance) -> list[Finding]:
    """Of each number: a split in which it is always the same, and values of test that are far from those of training."""
    findings = []
    for name, spreads in counts.numbers.items():
        for split, spread in spreads.items():
            if spread.count and spread.least == spread.most:
                severity: Severity = "error" if split == "train" else "warning"
                text = f"{name} is {spread.least:g} in all labelled rows of split '{split}': a network that always says so is right there"
                findings.append(Finding(severity, "labels", text))
        train, test = spreads["train"], spreads["test"]
        far = _FAR * (train.most - train.least)
        if train.count and test.count and max(train.least - test.least, test.most - train.most) > far:
            text = f"{name} is {test.least:g} to {test.most:g} in test, and {train.least:g} to {train.most:g} in train: the rest is guessed"
            findings.append(Finding("note", "labels", text))
    return findings
