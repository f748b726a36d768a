"""Frames and columns in signatures: pandas has no types of its own, and what a checker infers for it fits nothing."""

from typing import Any

Frame = Any
"""A pandas.DataFrame."""
Column = Any
"""A pandas.Series."""
