"""Evidence: did the teacher help? Arms over seeds, intervals by bootstrap over images, the share of the gap that was recovered."""

from xkd.compare.bootstrap import UNDEFINED, Comparison, Estimate, interval
from xkd.compare.finding import BEYOND, FEW_CLUSTERS, Summary, finding, summarise
from xkd.compare.runs import TestRun, fidelity, on_common_rows
from xkd.compare.statistics import (
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
