"""One function per figure of the book; each draws a light and a dark variant and needs alt text."""

from icl_lib.plots.themed import ThemedFigure, figure

__all__ = ["ThemedFigure", "figure"]
