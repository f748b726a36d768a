"""One page that holds everything: styles, program and pictures are inside, and nothing is asked of anybody."""

import base64
import hashlib
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from selkd.comparison.report import answers, curves, dots, method, origins
from selkd.comparison.report.figures import Shown
from selkd.comparison.report.wording import apart, folding, isolated, named
from selkd.comparison.result import Comparison
from selkd.comparison.views.curves import CURVES
from selkd.comparison.views.shown import levels

GENERATOR = "selkd report"
PACKAGE = "selkd.comparison.report"


def page(comparison: Comparison, figures: Sequence[Shown]) -> str:
    """The report as HTML. The same records give the same bytes."""
    template = _environment().get_template("report.html")
    style, program = _own("report.css"), _own("report.js")
    order = levels(comparison)
    learning = next((one.frame for one in figures if one.name == CURVES.name and one.frame is not None), None)
    names = [*comparison.levels["level"], *comparison.levels["group"], *comparison.records.studies]
    ended = max(comparison.records.trials["ended"].dropna(), default=None)
    return template.render(
        generator=GENERATOR,
        version=version("selkd"),
        policy=policy(style, program),
        style=Markup(style),
        program=Markup(program),
        comparison=comparison,
        studies=list(comparison.records.studies),
        ended=None if ended is None else f"{ended:%Y-%m-%d %H:%M} UTC",
        said=partial(named, names=names),
        standing=method.standing(comparison),
        method=list(method.sentences(comparison)),
        leaderboard=answers.levels(comparison),
        contrasts=answers.contrasts(comparison),
        order=order,
        dots=dots.panels(comparison, order),
        curves=[] if learning is None else curves.panels(comparison, learning, order),
        figures=figures,
        study_table=origins.studies(comparison),
        left_out=origins.left_out(comparison),
        configuration=origins.configuration(comparison),
        provenance=origins.provenance(comparison),
        trials=origins.trials(comparison),
    )


def policy(style: str, program: str) -> str:
    """The page may use the styles, the program and the pictures it came with, and nothing else."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(program)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _own(name: str) -> str:
    return (files(PACKAGE) / "templates" / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.filters |= {"isolated": isolated, "apart": apart, "folding": folding}
    return made
