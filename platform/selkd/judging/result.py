"""What a study says of the scores of teachers: tables, a picture, and their files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from selkd.comparison import style
from selkd.files import write_bytes, write_json, writing


@dataclass(frozen=True)
class Judgement:
    """What a study says of scores; a setting is what its students share beside seed and teacher.

    scores: a row a setting and score: teachers, seeds, kendall, spearman and regret, each with its interval.
    gains: a row a setting and share of the task's categories that teachers know (`overlap`): teachers, accuracy, and
    the gain over students without a teacher with its interval, where the study has such students.
    costs: a row a score, for one set of rows from nothing: rows shown to networks, updates of a student, seconds.
    students: a row a setting, seed and teacher: the outcome, that of the student without a teacher on the same rows
    (`without`), and every score, the higher the better.
    """

    study: str
    scores: pd.DataFrame
    gains: pd.DataFrame
    costs: pd.DataFrame
    students: pd.DataFrame
    left_out: Sequence[str]
    folder: Path

    def picture(self) -> Figure:
        """Kendall's correlation of each score with its interval, a panel a setting."""
        settings = self.scores.groupby("setting", sort=False)
        order = list(dict.fromkeys(self.scores["score"]))
        looks = style.looks(order)
        made, panels = style.by_group(len(settings), 0.9 + 0.2 * len(order), sharey=True, sharex=True)
        for axes, (setting, mine) in zip(panels, settings, strict=True):
            axes.axvline(0, color="black", linewidth=1)
            for row in mine.to_dict("records"):
                place, look = order.index(row["score"]), looks[row["score"]]
                axes.plot([row["kendall low"], row["kendall high"]], [place, place], color=look.colour, linewidth=2)
                axes.plot(row["kendall"], place, look.marker, color=look.colour, markeredgecolor="black", markersize=6)
            axes.set_yticks(range(len(order)), [style.name(score) for score in order])
            style.label(axes, title=style.name(str(setting), 44))
        panels[0].set(xlim=(-1.05, 1.05), ylim=(len(order) - 0.5, -0.5))
        style.label(panels[-1], x="Kendall's tau with the students' outcome; 1 is the same order")
        return style.finished(made)

    def as_json(self) -> dict[str, Any]:
        """Everything but the picture; what is not a number is null."""
        frames = {"scores": self.scores, "gains": self.gains, "costs": self.costs, "students": self.students}
        return {
            "study": self.study,
            **{
                name: frame.astype(object).where(frame.notna(), None).to_dict("records")
                for name, frame in frames.items()
            },
            "left out": list(self.left_out),
        }

    def keep(self) -> None:
        """`judgement.json`, `scores.csv` and `agreement.png` in the folder."""
        write_json(self.folder / "judgement.json", self.as_json())
        write_bytes(self.folder / "scores.csv", self.scores.to_csv(index=False).encode())
        with writing(self.folder / "agreement.png") as part:
            self.picture().savefig(part, format="png", dpi=150)
