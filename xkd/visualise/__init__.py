"""Pictures for people: what each sensor saw, and where each network looked."""

from xkd.visualise.panels import Panel, Row, draw_folder, draw_pixels, draw_rows

__all__ = ["Panel", "Row", "draw_folder", "draw_pixels", "draw_rows"]
