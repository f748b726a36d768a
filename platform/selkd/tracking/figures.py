"""Figures of one trial, drawn without pyplot's global state."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure


def confusion_figure(matrix: Any, names: Any) -> Figure:
    return Figure()


def curves_figure(history: pd.DataFrame) -> Figure:
    return Figure()


def open_set_figure(scores: Any, labels: Any) -> Figure:
    return Figure()
