"""Centred kernel alignment: how alike two networks arrange the same rows, whatever their widths.

Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019, arXiv:1905.00414, equation 4 with linear kernels and
the biased estimate of HSIC, as theirs: it rises with few rows, so compare values from the same rows alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def linear_cka(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Of readings (N, ...) and (N, ...) of the same rows: 0..1, not a number where one of them is the same for all rows."""
    if len(one) != len(other) or len(one) < 2:
        raise ValueError(f"CKA compares the same rows, two or more; got readings {one.shape} and {other.shape}")
    first, second = (_gram(reading) for reading in (one, other))
    scale = np.sqrt((first * first).sum() * (second * second).sum())
    return float((first * second).sum() / scale) if scale > 0 else float("nan")


def _gram(reading: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of centred rows; (N, N), so that wide readings cost no more than their product."""
    flat = reading.reshape(len(reading), -1).astype(np.float64)
    centred = flat - flat.mean(0)
    return np.asarray(centred @ centred.T)
