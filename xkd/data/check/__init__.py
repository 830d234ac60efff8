"""The pair check: what training would refuse, and what it would swallow: misaligned pairs, leaks between splits, odd exposures."""

from xkd.data.check.finding import Finding, Severity
from xkd.data.check.overlay import Overlay, draw_overlays
from xkd.data.check.run import PairCheck, check_pairs

__all__ = ["Finding", "Overlay", "PairCheck", "Severity", "check_pairs", "draw_overlays"]
