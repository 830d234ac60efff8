"""Down to which stride features can be compared place by place, as far as the pairs are aligned."""

from __future__ import annotations

from typing import Final

from xkd.data.check.finding import Finding
from xkd.data.check.residual import Residual

STRIDES: Final = (4, 8, 16, 32)  # of the stages of common networks
_DEEP: Final = 16  # of the last two stages, by which features are taught


def least_cell(residual: Residual) -> float:
    """Pixels along one position of a feature map within which 19 of 20 measurable pairs stay: an edge is off by half of it at most."""
    return 2 * residual.paired.p95


def stride_findings(residual: Residual) -> list[Finding]:
    """Which stages still fit, where some do not; nothing where that was not measurable."""
    cell = least_cell(residual)
    fitting = [stride for stride in STRIDES if stride >= cell]
    if len(fitting) == len(STRIDES) or not residual.is_measurable:
        return []
    names = f"{residual.first} and {residual.second}"
    text = (
        f"{names}: edges lie up to {residual.paired.p95:.1f} pixels of {residual.unit} apart (95 %), so features fit place by place where a"
        f" position covers {cell:.0f} pixels or more: "
    )
    if fitting:
        text += f"stages of stride {', '.join(map(str, fitting))} of frames at their own size, not {STRIDES[-len(fitting) - 1]}"
    else:
        text += f"no stage of frames at their own size (stride {STRIDES[-1]} is too fine)"
    text += "; a view of half the size doubles what a position covers. Losses on outputs, and those that pool, do not mind"
    return [Finding("warning" if _DEEP not in fitting else "note", "registration", text)]
