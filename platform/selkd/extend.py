"""More seeds for what a study chose: as far as the next look of its plan, or as a difference needs."""

from collections.abc import Callable
from dataclasses import dataclass

from selkd.comparison.asking import question_of
from selkd.comparison.compare import Comparison, answer, read
from selkd.comparison.result import ALL
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.sweeps.run import sweep
from selkd.sweeps.state import State
from selkd.sweeps.studies import Study


@dataclass(frozen=True)
class Extension:
    """Which candidates of a study go on, to how many seeds, and why so many."""

    study: str
    candidates: list[int]
    before: int
    seeds: int
    reason: str


def extension(
    name: str,
    by: str | None = None,
    metric: str | None = None,
    *,
    difference: float | None = None,
    workspace: Workspace | None = None,
) -> Extension:
    """What would be trained further: of every level the setting that was chosen on validation, and nothing else.

    A study that declared looks goes on to the next one. Any other gets what its contrasts need to tell `difference`
    with 80 % power, and its verdict is exploratory.
    """
    study = Study.read(name, workspace)
    if not study.state.finished:
        raise UserError(f"{name}: the study is not finished. Go on with `selkd sweep --resume {name}` first.")
    records = read(name, workspace)
    found = answer(records, question_of(records, by, metric, difference=difference))
    return wanted(name, found, planned=by is None)


def wanted(name: str, found: Comparison, *, planned: bool) -> Extension:
    """What the answer of a finished study asks for, by the looks that it declared if `planned`."""
    chosen = found.trials[found.trials["chosen"]]
    before = min(len(set(mine["seed"])) for _, mine in chosen.groupby(["level", "cell"]))
    looks = found.plan.looks if found.plan and planned else ()
    seeds, reason = _next_look(name, looks, before) if looks else _needed(found, before)
    return Extension(name, sorted({int(number) for number in chosen["candidate"]}), before, seeds, reason)


def extend(
    found: Extension, workspace: Workspace | None = None, *, watch: Callable[[State], None] = lambda _: None
) -> Study:
    """Train the further seeds, in the same study."""
    space = Study.read(found.study, workspace).space
    return sweep(space, workspace, watch=watch, seeds=dict.fromkeys(found.candidates, found.seeds))


def _next_look(name: str, looks: tuple[int, ...], before: int) -> tuple[int, str]:
    left = [look for look in looks if look > before]
    if not left:
        raise UserError(
            f"{name}: {before} seeds were the last look that was declared. Start another study, or ask with --by KEY "
            "for an exploratory answer."
        )
    return left[0], f"look {looks.index(left[0]) + 1} of {len(looks)}, as declared"


def _needed(found: Comparison, before: int) -> tuple[int, str]:
    open_ = [contrast for contrast in found.contrasts if contrast.group == ALL and contrast.better is None]
    wanting = [contrast.more for contrast in open_ if contrast.more]
    if not wanting:
        raise UserError("more seeds would tell nothing new: every difference is told, or could have been told.")
    return before + max(wanting), f"{max(wanting)} more tell what matters with 80 % power; the verdict is exploratory"
