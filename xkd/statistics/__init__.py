"""Evidence: did the teacher help? Arms over seeds, intervals by bootstrap over images, the share of the gap that was recovered."""

from xkd.statistics.attention import LIFT, Attention, Moved
from xkd.statistics.bootstrap import Comparison, interval
from xkd.statistics.continual import Learned, average_score, backward_transfer, forgetting
from xkd.statistics.estimate import UNDEFINED, Estimate
from xkd.statistics.finding import ABOUT, BEYOND, FEW_CLUSTERS, Purpose, Summary, finding, summarise
from xkd.statistics.measures import SHARE, Each, Measure, Measures, Near, RowScore, Style
from xkd.statistics.metrics import Statistic, Summed, Weighted, mean_score
from xkd.statistics.runs import TestRun, on_common_rows, run_of

__all__ = [
    "ABOUT",
    "BEYOND",
    "FEW_CLUSTERS",
    "LIFT",
    "SHARE",
    "UNDEFINED",
    "Attention",
    "Comparison",
    "Each",
    "Estimate",
    "Learned",
    "Measure",
    "Measures",
    "Moved",
    "Near",
    "Purpose",
    "RowScore",
    "Statistic",
    "Style",
    "Summary",
    "Summed",
    "TestRun",
    "Weighted",
    "average_score",
    "backward_transfer",
    "finding",
    "forgetting",
    "interval",
    "mean_score",
    "on_common_rows",
    "run_of",
    "summarise",
]
