"""A page of curves and tables with what they say, such as accuracy against cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from xkd.report.charts import Chart, draw_lines
from xkd.report.page import Listing, environment


def curves_page(title: str, lines: Sequence[str], charts: Sequence[Chart], listings: Sequence[Listing], command: str) -> str:
    """The HTML, with everything inside; `lines` are its findings."""
    return (
        environment()
        .get_template("curves.html")
        .render(
            title=title,
            lines=lines,
            drawn=[{"chart": chart, "drawn": draw_lines(chart)} for chart in charts],
            listings=listings,
            command=command,
            today=date.today().isoformat(),
        )
    )
