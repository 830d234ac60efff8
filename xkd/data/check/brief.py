"""The check in brief, for reports and before a long run: who has what, and how far sampled pairs lie apart; files are not scanned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xkd.data.check.finding import Finding
from xkd.data.check.frames import sample_rows
from xkd.data.check.labels import Balance, balance, balance_findings
from xkd.data.check.residual import MAX_RESIDUAL, Residual, residual_findings, residual_of
from xkd.data.check.run import Pixels
from xkd.data.manifest import Manifest
from xkd.data.rows import SPLITS

NUM_SAMPLED = 48


@dataclass(frozen=True)
class Brief:
    """Counts of all rows; residuals of the pairs of some; what is to be said of them."""

    balance: Balance
    residuals: tuple[Residual, ...]
    findings: tuple[Finding, ...]


def brief(manifest: Manifest, seed: int = 0, splits: Sequence[str] = SPLITS) -> Brief:
    """Reads the pixels of `NUM_SAMPLED` rows of `splits`; those that cannot be read are counted in a finding."""
    counts, pixels = balance(manifest), Pixels(manifest)
    for row in sample_rows([row for row in manifest.rows if row.split in splits], {}, NUM_SAMPLED, seed):
        pixels.add(row)
    residuals = tuple(residual_of(*names, pairs) for names, pairs in pixels.pairs.items())
    findings = [*balance_findings(counts), *(text for one in residuals for text in residual_findings(one, MAX_RESIDUAL))]
    if pixels.problems:
        name, problem = next(iter(pixels.problems.items()))
        findings.append(Finding("error", "files", f"{len(pixels.problems)} sampled rows cannot be read, such as '{name}': {problem}"))
    return Brief(counts, residuals, tuple(findings))
