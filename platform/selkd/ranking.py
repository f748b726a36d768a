"""Which teachers of the repository fit a task: a table of scores, what they took, and a picture of the best."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from torch.nn import functional as F

from selkd.comparison import style
from selkd.config import RunConfig, Workspace, override, read, validate
from selkd.files import fingerprint, write_json, writing
from selkd.selection.teachers import TEACHERS, TeacherEvidence, scores
from selkd.selection.teachers.base import RankingPolicy, candidates
from selkd.selection.teachers.related import Assessment, Related, RelatedSettings, assess
from selkd.training.asking import Prepare
from selkd.training.setup import Setup, device_of
from selkd.training.workers import Workers

SHOWN = 3  # teachers in the picture
FEW, MANY = 3, 30  # categories for which a panel has its least height, and beyond which names are left out


@dataclass(frozen=True)
class Ranking:
    """Teachers, the best first; low costs and high scores are good."""

    table: pd.DataFrame
    skipped: Mapping[str, str]  # teachers that cannot be read or asked, and why
    spent: Mapping[str, float]  # forward passes of teachers, updates of a student, seconds
    plans: Mapping[str, pd.DataFrame]  # mass from each of a teacher's categories to each output, of the best
    folder: Path

    def picture(self) -> Figure:
        """The transport between the label spaces of the best teachers and the task."""
        heights = [min(max(len(plan), FEW), MANY) for plan in self.plans.values()]
        made = style.figure(style.PAGE, 0.8 * len(heights) + 0.17 * sum(heights) + 0.6)
        panels = made.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (name, plan) in zip(panels, self.plans.items(), strict=True):
            image = axes.imshow(plan.to_numpy(), aspect="auto", cmap=style.SHADES, vmin=0, interpolation="nearest")
            axes.tick_params(labelsize=style.SMALL, length=2)
            axes.set_xticks(range(plan.shape[1]), [style.name(str(each), 14) for each in plan.columns])
            if len(plan) <= MANY:
                axes.set_yticks(range(len(plan)), [style.name(str(each), 18) for each in plan.index])
            cost = self.table.loc[name, "cost"]
            style.label(axes, y="teacher's categories", title=f"{style.name(name)}: cost {cost:.3g}")
            made.colorbar(image, ax=axes, fraction=0.05, pad=0.02).ax.tick_params(labelsize=style.SMALL)
        style.label(panels[-1], x="the task's categories; the shade is the mass that goes there")
        return style.finished(made)


def _question(config: RunConfig | Mapping[str, Any] | str | Path, overrides: Iterable[str]) -> RunConfig:
    """The data, the task and the semantics of a run: by which loss it learns, and from whom, is not asked yet."""
    given = config.model_dump(mode="json") if isinstance(config, RunConfig) else config
    tree = override(given if isinstance(given, Mapping) else read(Path(given)), overrides)
    selection = {k: v for k, v in (tree.get("selection") or {}).items() if k in ("categories", "teachers")}
    tree = {k: v for k, v in tree.items() if k not in ("objective", "weighting", "start", "selection")}
    where = "configuration" if isinstance(config, RunConfig | Mapping) else str(config)
    return validate(RunConfig, {**tree, "objective": "cross-entropy", "selection": selection}, where)


def rank(
    config: RunConfig | Mapping[str, Any] | str | Path,
    workspace: Workspace | None = None,
    *,
    overrides: Iterable[str] = (),
    cpus: int = 1,
) -> Ranking:
    """Rank the teachers for the task of a run, as `selection.teachers` says where its policy is `transport`.

    With several `cpus`, so many teachers are asked at once, through Ray.
    """
    config, workspace = _question(config, overrides), workspace or Workspace.default()
    if cpus == 1:
        return _ranked(config, workspace, lambda names, what, rows: {})
    from selkd.training.ray_entry import asking_with_ray

    with asking_with_ray(config, workspace, cpus) as prepare:
        return _ranked(config, workspace, prepare)


def _ranked(config: RunConfig, workspace: Workspace, prepare: Prepare) -> Ranking:
    wanted = config.selection.teachers
    settings = wanted if isinstance(wanted, RelatedSettings) else RelatedSettings()
    setup = Setup.of(config, workspace, Workers(), device_of(config))
    evidence, sample = setup.teacher_evidence(prepare), setup.sample
    names = candidates(evidence, settings.among)
    began = time.perf_counter()
    sample.costs(names)
    for_costs = sample.passes.total()
    found = assess(sample, names, settings)
    seconds, passes, updates = time.perf_counter() - began, sample.passes, sample.updates
    asked = sorted(found.levels[min(1, settings.level)])
    columns: dict[str, Mapping[str, float]] = {f"level {k}": costs for k, costs in enumerate(found.levels)}
    columns |= _others(evidence, asked, settings, config.seed)
    table = pd.DataFrame(columns).reindex(found.order).rename_axis("teacher")
    table.insert(0, "rank", range(1, len(table) + 1))
    table.insert(1, "cost", [_last(found.levels, name) for name in found.order])
    table["passes"] = [passes[name] for name in found.order]
    spent = {
        "passes for semantics": for_costs,
        "passes for answers": passes.total() - for_costs,
        "passes of other scores": sample.passes.total() - passes.total(),
        "updates of a student": updates,
        "seconds": seconds,
        "seconds of other scores": time.perf_counter() - began - seconds,
    }
    plans = _plans(setup, found.order[:SHOWN], found, settings)
    told = [config.key, {name: setup.known[name].fingerprint for name in names}, settings.model_dump(mode="json")]
    folder = workspace.root / "rankings" / f"{config.name}-{fingerprint(told)[:10]}"
    ranking = Ranking(table, evidence.skipped, spent, plans, folder)
    _keep(ranking, config)
    return ranking


def _others(
    evidence: TeacherEvidence, names: Sequence[str], settings: RelatedSettings, seed: int
) -> dict[str, Mapping[str, float]]:
    """What every other policy says of the teachers that were asked; what would ask more is left out at level 0."""
    found = {}
    for name, policy in TEACHERS.items():
        shows = "rows" in policy.Settings.model_fields
        if not issubclass(policy, RankingPolicy) or policy is Related or (shows and settings.level == 0):
            continue
        own = policy.Settings(**({"rows": settings.rows} if shows else {}))  # pyright: ignore[reportCallIssue]
        found[name] = policy(own).scores(evidence, names, seed)
    return found


def _last(levels: Sequence[Mapping[str, float]], name: str) -> float:
    """The cost at the last level that the teacher reached."""
    return next(costs[name] for costs in reversed(levels) if name in costs)


def _plans(setup: Setup, names: Sequence[str], found: Assessment, settings: RelatedSettings) -> dict[str, pd.DataFrame]:
    """Mass [K1, o] that the plans of the last level a teacher reached carry: the ones whose cost ranks it."""
    sample, plans = setup.sample, {}
    costs = sample.costs(names)
    for name in names:
        level = max(k for k, known in enumerate(found.levels) if name in known)
        cost, p, q = costs[name], sample.prior()[None], sample.prior()[None]
        if level == 0:
            p = cost.new_full((1, len(cost)), 1 / len(cost))
        else:
            p = sample.logits(name, settings.rows).softmax(1)
            q = F.one_hot(sample.labels(settings.rows), setup.task.outputs).double()
        if level == 2:
            q = sample.student(settings.rows, settings.steps).double().softmax(1)
        plan = p.T @ q / len(q) if level == 1 else scores.mean_plan(p, q, cost, settings.epsilon)
        categories = list(setup.known[name].card.categories)
        plans[name] = pd.DataFrame(plan.numpy(), categories, list(setup.task.output_names))
    return plans


def _keep(ranking: Ranking, config: RunConfig) -> None:
    """`ranking.json` and `transport.png` in the ranking's folder."""
    lines = ranking.table.reset_index().astype(object)
    content = {
        "config": config.model_dump(mode="json"),
        "teachers": lines.where(lines.notna(), None).to_dict("records"),
        "skipped": dict(ranking.skipped),
        "spent": dict(ranking.spent),
    }
    write_json(ranking.folder / "ranking.json", content)
    with writing(ranking.folder / "transport.png") as part:
        ranking.picture().savefig(part, format="png", dpi=150)
