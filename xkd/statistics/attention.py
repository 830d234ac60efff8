"""Where the student looks against where the student alone looks, on the same rows: a difference, a ratio, and a sentence that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from xkd.statistics.bootstrap import Comparison
from xkd.statistics.estimate import Estimate
from xkd.statistics.metrics import mean_score

LIFT: Final = "epg_lift"  # of a row: the share of attention inside the mask over the mask's share of the image; 1 is chance
# arm -> what it means where the student's attention is not drawn further than its
BEYOND_LOOKS: Mapping[str, str] = {
    "shuffled_masks": "beyond masks of other rows attention is {}: not shown to be what the masks show",
    "masks": "beyond masks alone attention is {}: not shown to be the teacher's",
}
UNMEASURED: Final = "Where the student looks was not measured: that takes a map for it in compare.attention, and test rows with a mask."


@dataclass(frozen=True)
class Moved:
    """An arm's attention over chance, without and over that of the student alone.

    Each p is of a paired t-test over seeds, that of the ratio of its logarithms; not a number for one seed.
    """

    value: Estimate
    difference: Estimate
    difference_p: float
    ratio: Estimate
    ratio_p: float

    @property
    def toward(self) -> bool:
        """Whether it surely lies more on the region: by the ratio's interval, where there is one."""
        return self.ratio.low > 1 if self.ratio.defined else self.difference.low > 0

    @property
    def away(self) -> bool:
        return self.ratio.high < 1 if self.ratio.defined else self.difference.high < 0

    @property
    def p(self) -> float:
        return self.ratio_p if self.ratio.defined else self.difference_p


@dataclass(frozen=True)
class Attention:
    """Of the student alone, and of every other arm that was asked; `beyond` are ratios of the distilled student to arms of BEYOND_LOOKS."""

    alone: Estimate
    arms: Mapping[str, Moved]
    beyond: Mapping[str, Estimate]

    @property
    def moved(self) -> Moved:
        return self.arms["distilled"]

    @property
    def measured(self) -> bool:
        """Not where no test row has a mask."""
        return self.moved.difference.defined

    @property
    def objections(self) -> tuple[str, ...]:
        """Arms that draw the attention as far, where it is drawn at all."""
        known = {arm: ratio for arm, ratio in self.beyond.items() if ratio.defined and self.moved.toward}
        return tuple(BEYOND_LOOKS[arm].format(times(ratio)) for arm, ratio in known.items() if ratio.low <= 1)


def attention(comparison: Comparison) -> Attention | None:
    """None where nobody asked where the student and the student alone look."""
    asked = [arm for arm, runs in comparison.arms.items() if LIFT in runs[0].scores]
    if not {"alone", "distilled"} <= set(asked):
        return None
    lift = mean_score(LIFT)
    arms = {
        arm: Moved(
            comparison.estimate(arm, lift),
            comparison.difference(arm, "alone", lift),
            comparison.paired_test(arm, "alone", lift),
            comparison.ratio(arm, "alone", lift),
            comparison.ratio_test(arm, "alone", lift),
        )
        for arm in asked
        if arm != "alone"
    }
    beyond = {arm: comparison.ratio("distilled", arm, lift) for arm in BEYOND_LOOKS if arm in asked}
    return Attention(comparison.estimate("alone", lift), arms, beyond)


def sentence(of: Attention) -> str:
    """How far the student's attention has moved, without a full stop; `of` is measured."""
    moved = of.moved
    p = f", p = {moved.p:.2g}" if moved.p == moved.p else ""
    chance = f"over chance {_short(of.alone.mean)} to {_short(moved.value.mean)}{p}"
    nowhere = "No evidence that attention moves to the masked region:"
    if not moved.ratio.defined:
        change = f"{moved.difference.mean:+.3g} [{moved.difference.low:+.3g}, {moved.difference.high:+.3g}]"
        start = "Attention on the masked region changes by" if moved.toward or moved.away else nowhere
        return f"{start} {change} ({chance}; no ratio, since the student alone may have none there)"
    size, ending = times(moved.ratio), f"as often as the student alone's ({chance})"
    if moved.toward:
        return f"Attention falls on the masked region {size} {ending}"
    if moved.away:
        return f"Attention falls less on the masked region: {size} {ending}"
    return f"{nowhere} it falls there {size} {ending}"


def times(ratio: Estimate) -> str:
    return f"{_short(ratio.mean)} times [{_short(ratio.low)}, {_short(ratio.high)}]"


def _short(value: float) -> str:
    return f"{value:.1f}" if value >= 2 else f"{value:.2f}"  # on which side of one must show
