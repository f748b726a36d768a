"""`selkd studies` and `selkd study`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selkd.cli import show, wording

if TYPE_CHECKING:
    from selkd.sweeps.pace import Pace
    from selkd.sweeps.state import Candidate
    from selkd.sweeps.studies import Study

BEST = 5  # candidates that are shown


def studies(json: show.Json = False) -> None:
    """List the studies of the workspace, the one that changed last first."""
    from selkd.config import Workspace
    from selkd.sweeps.studies import readable

    found, broken = readable(Workspace.default())
    for reason in broken.values():
        show.note(f"skipped: {reason}")
    if json:
        show.print_json([_listed(study) for study in found])
        return
    if not found:
        show.out.print("No studies yet. Next: `selkd sweep SPACE.yaml`", highlight=False)
        return
    rows = [[study.name, study.status, _told_of(study), _best_value(study), _when(study)] for study in found]
    show.table("", ["study", "status", "tried", "best", "changed (UTC)"], rows)
    for study in found:
        if study.space.description:
            show.say(f"{study.name}: {study.space.description}")


def study(
    name: Annotated[str, typer.Argument(help="Name of the study.", show_default=False)],
    stop: Annotated[
        bool, typer.Option("--stop", help="End it: students save where they are. It can be resumed.")
    ] = False,
    trials: Annotated[bool, typer.Option("--trials", help="Show every student, too.")] = False,
    json: show.Json = False,
) -> None:
    """Show how a study stands: its best candidates, what decides, what remains, what failed.

    **Examples**

    `selkd study closed-sinkhorn`

    `selkd study closed-sinkhorn --trials --json`

    `selkd study closed-sinkhorn --stop`
    """
    from selkd.sweeps.studies import Study

    found = _stopped(name, quiet=json) if stop else Study.read(name)
    if json:
        show.print_json(described(found) | ({"trials": found.trials().to_dict("records")} if trials else {}))
        return
    print_study(found)
    if trials:
        _print_trials(found)


def described(study: "Study") -> dict[str, Any]:
    """A study for machines."""
    state, pace = study.state, study.pace
    return _listed(study) | {
        "reason": _reason(study),
        "folder": study.folder,
        "metrics": study.space.metrics,
        "verdicts": _verdicts(study),
        "trials_by_status": state.counts,
        "seconds": pace.elapsed,
        "student_seconds": state.student_seconds,
        "students_an_hour": pace.hourly,
        "seconds_left": pace.left,
        "remains": {"candidates": pace.candidates, "hours": pace.hours, "student_hours": pace.student_hours},
        "best": [_candidate(one) for one in study.best()],
        "failures": state.failures(),
        "importances": study.importances(),
    }


def print_study(study: "Study") -> None:
    """A study for people."""
    state, pace, reason = study.state, study.pace, _reason(study)
    show.say(f"{study.name}: {study.status}" + (f" ({reason})" if reason else ""))
    rate = f"; {rate}" if (rate := wording.hourly(pace.hourly)) else ""
    show.say(f"Students: {wording.students(state)}{rate}")
    show.say(f"Candidates: {_told_of(study)} tried; {_remaining(study, pace)}")
    _print_best(study)
    if importances := study.importances():
        shown = [[key, show.number(share, 2)] for key, share in importances.items()]
        show.table("What decides", ["parameter", "share"], shown)
    if failures := state.failures():
        show.table("Failures", ["reason", "students"], [[reason, str(count)] for reason, count in failures.items()])
    show.say("Next: " + ", ".join(f"`{command}`" for command in _next(study)))


def _stopped(name: str, quiet: bool) -> "Study":
    from selkd.sweeps.ending import stop

    said: list[str] = []

    def waiting(study: "Study") -> None:
        line = f"waiting for the driver; students: {wording.students(study.state)}"
        if line not in said[-1:] and not quiet:
            said.append(line)
            show.note(line)

    with show.resumable():
        return stop(name, waiting=waiting)


def _print_best(study: "Study") -> None:
    ranking = study.best() if len(study.space.metrics) > 1 else study.ranking()
    if not ranking:
        kept = " that keeps the constraints" if study.space.constraints else ""
        show.say(f"No candidate{kept} is complete yet.")
        return
    metrics = list(study.space.metrics)
    rows = [
        [wording.parameters(one.parameters), str(one.number), *(show.number(one.values[name], 4) for name in metrics)]
        for one in ranking[:BEST]
    ]
    title = f"Best of {len(ranking)}" if len(metrics) == 1 else f"{len(ranking)} that no other beats"
    show.table(title, ["parameters", "candidate", *metrics], rows)


def _print_trials(study: "Study") -> None:
    metric = next((name for name in study.space.metrics if "/" in name), "")
    recorded = metric.replace("gain/", "validation/")
    rows = [
        [trial.key, str(trial.number), str(trial.seed), trial.role, wording.WORDS[trial.status],
         show.number(trial.metrics.get(recorded)), show.number(trial.seconds, 1)]
        for trial in study.state.trials.values()
    ]  # fmt: skip
    show.table("Students", ["key", "candidate", "seed", "role", "status", recorded, "seconds"], rows)


def _listed(study: "Study") -> dict[str, Any]:
    best = study.best()
    return {
        "name": study.name,
        "description": study.space.description,
        "status": study.status,
        "candidates": len(study.state.candidates),
        "students": _finished(study),
        "best_values": best[0].values if best else None,
        "changed": datetime.fromtimestamp(study.state.changed_at, UTC).isoformat(),
    }


def _candidate(one: "Candidate") -> dict[str, Any]:
    return {"candidate": one.number, "values": one.values, "parameters": one.parameters, "students": one.students}


def _verdicts(study: "Study") -> dict[str, int]:
    found = [one.verdict or "open" for one in study.state.candidates.values()]
    return {verdict: found.count(verdict) for verdict in dict.fromkeys(found)}


def _reason(study: "Study") -> str | None:
    """Why nobody works on it."""
    if study.status == "stopped" and study.state.stopped is None:
        return "its driver ended without a word"
    return study.state.stopped


def _remaining(study: "Study", pace: "Pace") -> str:
    parts = [f"{pace.candidates:,} remain" if pace.candidates is not None else ""]
    for hours, name in ((pace.hours, "hours"), (pace.student_hours, "student hours")):
        parts.append(f"{hours:.2g} {name} remain" if hours is not None else "")
    if study.alive:
        parts.append(f"time left {wording.duration(pace.left)}")
    return ", ".join(part for part in parts if part)


def _next(study: "Study") -> list[str]:
    if study.alive:
        return [f"selkd study {study.name} --stop"]
    resume = [] if study.state.finished else [f"selkd sweep --resume {study.name}"]
    best = study.best()
    export = [f"selkd export {best[0].students[0]} student.pt2"] if best else []
    return [*resume, *export, f"selkd study {study.name} --trials", "selkd ui"]


def _told_of(study: "Study") -> str:
    return wording.candidates(len(study.state.told), study.total)


def _finished(study: "Study") -> int:
    return study.state.counts.get("finished", 0)


def _best_value(study: "Study") -> str:
    best = study.best()
    return wording.values(best[0]) if best else "-"


def _when(study: "Study") -> str:
    return f"{datetime.fromtimestamp(study.state.changed_at, UTC):%Y-%m-%d %H:%M}"
