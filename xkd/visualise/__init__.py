"""Pictures for people: what each sensor saw, and where each network looked."""

from xkd.visualise.panels import Panel, PanelRow, draw_folder, draw_pixels, draw_rows

__all__ = ["Panel", "PanelRow", "draw_folder", "draw_pixels", "draw_rows"]
