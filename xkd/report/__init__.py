"""The report: one HTML page that says what was found and shows why, readable anywhere without a network."""

from xkd.report.charts import Chart
from xkd.report.page import ArmRow, Confusion, Control, Headline, Listing, Metric, Picture, Provenance, Report, Table, write_report

__all__ = [
    "ArmRow",
    "Chart",
    "Confusion",
    "Control",
    "Headline",
    "Listing",
    "Metric",
    "Picture",
    "Provenance",
    "Report",
    "Table",
    "write_report",
]
