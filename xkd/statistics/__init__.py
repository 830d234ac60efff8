"""Evidence: did the teacher help? Arms over seeds, intervals by bootstrap over images, the share of the gap that was recovered."""

from xkd.statistics.bootstrap import UNDEFINED, Comparison, Estimate, interval
from xkd.statistics.finding import BEYOND, FEW_CLUSTERS, Summary, finding, summarise
from xkd.statistics.metrics import (
    METRICS,
    PIXEL_METRICS,
    Statistic,
    calibration_error,
    confidence_bins,
    confusion,
    mean_score,
    metrics_for,
    metrics_of,
)
from xkd.statistics.runs import TestRun, fidelity, on_common_rows

__all__ = [
    "BEYOND",
    "FEW_CLUSTERS",
    "METRICS",
    "PIXEL_METRICS",
    "UNDEFINED",
    "Comparison",
    "Estimate",
    "Statistic",
    "Summary",
    "TestRun",
    "calibration_error",
    "confidence_bins",
    "confusion",
    "fidelity",
    "finding",
    "interval",
    "mean_score",
    "metrics_for",
    "metrics_of",
    "on_common_rows",
    "summarise",
]
