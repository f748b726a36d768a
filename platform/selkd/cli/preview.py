"""What `selkd sweep --dry-run` says."""

from selkd.cli import show, wording
from selkd.config import Workspace
from selkd.sweeps.preview import preview
from selkd.sweeps.space import SearchSpace

MEGABYTE = 1e6


def print_preview(space: SearchSpace, workspace: Workspace, json: bool) -> None:
    """What the study would do."""
    found = preview(space, workspace)
    candidates = [
        {key: value for key, value in row.items() if value is not None and value == value}  # noqa: PLR0124
        for row in found.candidates.to_dict("records")
    ]
    if json:
        show.print_json({**found.__dict__, "size": found.size._asdict(), "candidates": candidates})
        return
    show.table(
        f"{len(candidates)} of {found.size} candidates",
        ["parameters"],
        [[wording.parameters(parameters)] for parameters in candidates],
    )
    students = "unlimited" if found.students is None else f"{found.students:,}"
    twins = f" and {found.twins:,} cross-entropy twins" if found.twins else ""
    hours = "unlimited" if found.hours is None else wording.duration(3600 * found.hours)
    disk = "unlimited" if found.bytes is None else f"{show.number(found.bytes / MEGABYTE, 1)} MB"
    each = wording.duration(found.seconds_per_student)
    for line in (
        f"Students: {students}{twins}, about {each} each, {found.concurrent} at once",
        f"Time: about {hours}",
        f"Disk: about {disk}",
        *found.notes,
    ):
        show.say(line)
