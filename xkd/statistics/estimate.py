"""A mean with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with their standard deviation and a 95 % bootstrap interval; `defined` false means that it means nothing."""

    mean: float
    std: float
    low: float
    high: float
    defined: bool = True

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]" if self.defined else "undefined"


UNDEFINED = Estimate(np.nan, np.nan, np.nan, np.nan, defined=False)
