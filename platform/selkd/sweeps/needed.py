"""What a study's students need of the workspace and would miss one by one: refused before any is begun."""

from collections.abc import Iterator

import numpy as np

from selkd.config import RunConfig, Workspace, read
from selkd.errors import UserError
from selkd.models.teachers import TeacherRepository
from selkd.sweeps.checks import without_data
from selkd.sweeps.parameters import Choice, Grid
from selkd.sweeps.ready import POOLS, ready
from selkd.sweeps.space import SearchSpace
from selkd.training.start import folder_of

EACH = 8
"""Candidates that are looked at for each value of each choice: enough to meet the other choices it depends on."""
SHOWN = 8
"""Teachers that are named one by one."""


def refuse_missing(space: SearchSpace, workspace: Workspace) -> None:
    """Every teacher that a candidate names must be there and readable, or be the one that the space teaches.

    So must be every student as which one begins.
    """
    for start in sorted({config.start for config in _configs(space) if config.start is not None}):
        folder_of(start, workspace)
    repository = TeacherRepository(workspace.teachers)
    taught = {RunConfig.of(space.teacher).name} if space.teacher else set()
    here, needed = set(repository.names()), sorted(set(_named(space)))
    if missing := [name for name in needed if name not in here | taught]:
        more = len(missing) - SHOWN
        raise UserError(
            f"{space.name}: {len(missing)} of {len(needed)} teachers of its students are not in {repository.root}: "
            f"{', '.join(missing[:SHOWN])}{f' and {more} more' if more > 0 else ''}. {_remedy(missing)}"
        )
    for name in needed:
        if name in here:
            repository.load(name)
    if not here | taught and any(config.crosses and config.selection.teachers.chooses for config in _configs(space)):
        raise UserError(
            f"{space.name}: selection.teachers chooses among the teachers of {repository.root}, which holds none. "
            f"{_remedy([])}"
        )


def _remedy(missing: list[str]) -> str:
    """The command that makes these teachers."""
    pools = [name for name, path in ready(POOLS).items() if missing and set(missing) <= set(read(path)["teachers"])]
    if pools:
        return f"Make them with `selkd teachers train {pools[0]}`."
    return "Make them with `selkd teach`, with `selkd teachers train` and a pool of yours, or `selkd teachers add`."


def _named(space: SearchSpace) -> Iterator[str]:
    """Every teacher that some candidate names, more than once."""
    for config in _configs(space):
        if config.teacher is not None:
            yield config.teacher
        if config.crosses:
            chosen = config.selection.teachers
            yield from getattr(chosen, "among", None) or getattr(chosen, "weights", None) or ()
            encoder = getattr(config.semantics, "encoder", None)
            yield from () if encoder is None else (encoder,)


def _configs(space: SearchSpace) -> Iterator[RunConfig]:
    """Runs of candidates, among them some with every value of every choice."""
    candidates, rng = without_data(space.candidates), np.random.default_rng(space.seed)
    choices = {key: one.values() for key, one in candidates.search.items() if isinstance(one, Choice | Grid)}
    forced = [{}, *({key: value} for key, values in choices.items() for value in values)]
    for given in forced:
        for _ in range(EACH):
            drawn = candidates.walk(lambda key, one, given=given: given.get(key, one.at(rng.random())))
            if not candidates.forbidden(drawn) and not candidates.fault(drawn):
                yield RunConfig.model_validate(candidates.tree(drawn))
