"""The views of a comparison as files and as parts of the page."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from selkd.comparison import leaderboard
from selkd.comparison.report.table import Table, of_frame
from selkd.comparison.result import Comparison
from selkd.comparison.style import COLUMN
from selkd.comparison.views import VIEWS, Missing
from selkd.files import write_bytes

SHARPNESS = 160
"""Dots an inch of pictures."""
MOST_NUMBERS = 100
"""Rows of a figure's numbers that the page holds; the folder's table holds all."""


@dataclass(frozen=True)
class Shown:
    """A view in the page; without a picture, the reason."""

    name: str
    title: str
    alt: str
    picture: str  # a data address
    width: int
    height: int
    wide: bool  # whether it needs a page's width to be read
    numbers: Table | None
    frame: pd.DataFrame | None
    reason: str = ""


def figures(comparison: Comparison, folder: Path) -> Iterator[Shown]:
    """Draw every view once, write it below `folder` and return what the page shows of it."""
    for view in VIEWS:
        made = view.make(comparison)
        if isinstance(made, Missing):
            yield Shown(view.name, view.title, "", "", 0, 0, False, None, None, made.reason)
            continue
        picture = _written(made.figure, folder / "figures" / view.name)
        write_bytes(folder / "tables" / f"figure-{view.name}.csv", leaderboard.csv(made.numbers).encode())
        width, height = (float(side) for side in made.figure.get_size_inches())
        yield Shown(
            view.name,
            view.title,
            " ".join(made.alt.split()),
            f"data:image/png;base64,{base64.b64encode(picture).decode()}",
            round(96 * width),
            round(96 * height),
            width > COLUMN * 1.2,
            of_frame(made.numbers, f"numbers-{view.name}", f"Numbers of “{view.title}”", MOST_NUMBERS),
            made.numbers,
        )


def _written(figure: Figure, path: Path) -> bytes:
    """A picture and a drawing that hold no date and no version: equal figures, equal bytes. Laid out once for both."""
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    picture, drawing = BytesIO(), BytesIO()
    figure.savefig(picture, format="png", dpi=SHARPNESS, metadata={"Software": None})
    figure.savefig(drawing, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    write_bytes(path.with_suffix(".png"), picture.getvalue())
    write_bytes(path.with_suffix(".pdf"), drawing.getvalue())
    return picture.getvalue()
