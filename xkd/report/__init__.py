"""The report: one HTML page that says what was found and shows why, readable anywhere without a network."""

from xkd.report.charts import Chart
from xkd.report.page import Arm, Confusion, Control, Finding, Listing, Made, Metric, Picture, Report, Table, write_report

__all__ = ["Arm", "Chart", "Confusion", "Control", "Finding", "Listing", "Made", "Metric", "Picture", "Report", "Table", "write_report"]
