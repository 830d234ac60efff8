"""Numbers and words of the report that the tests look at."""

from __future__ import annotations

from xkd.report import Control
from xkd.statistics import Estimate

HOSTILE = '<script src="https://evil.example/x.js">alert(1)</script>"\'&'
UNDEFINED = Estimate(float("nan"), 0.0, float("nan"), float("nan"), defined=False)
ALONE, DISTILLED = Estimate(0.6817, 0.0123, 0.6421, 0.7219), Estimate(0.8234, 0.0061, 0.7917, 0.8518)
GAIN, SHARE = Estimate(0.1417, 0.021, 0.1032, 0.1741), Estimate(0.534, 0.05, 0.412, 0.638)


CONTROL = Control("Control: shuffled pairs", Estimate(-0.013, 0.01, -0.031, 0.004), "pairs mixed up must not help")
