"""What a recorded run was made from, found on this machine by content."""

from pathlib import Path

from selkd.config import RunConfig, Workspace
from selkd.data import Dataset
from selkd.errors import UserError
from selkd.files import read_json
from selkd.models.teachers import TeacherRepository
from selkd.recorded import Recorded
from selkd.selection.teachers.base import ranked
from selkd.training.setup import rows_of


def with_data(recorded: Recorded, config: RunConfig, source: str | None, workspace: Workspace) -> RunConfig:
    """The configuration with data of this machine; refused unless their content is what was recorded."""
    settings = config.model_dump(mode="json")
    if config.data.root is not None and not config.data.root.is_dir():
        settings["data"]["root"] = None
    if source is not None:
        settings["data"]["source"] = source
    changed = RunConfig.of(settings)
    try:
        dataset, _ = rows_of(changed.data, workspace)
    except UserError as error:
        raise UserError(f"data: {error}\nIf the same data are elsewhere on this machine, say --data SOURCE.") from None
    _refuse_others(recorded, dataset, changed.data.source)
    return changed


def _refuse_others(recorded: Recorded, dataset: Dataset, source: str) -> None:
    wanted = recorded.fingerprints.get("data")
    if wanted is not None and dataset.fingerprint != wanted:
        raise UserError(
            f"data: {source} here is not what {recorded.key} was trained on (fingerprint {wanted[:12]} when recorded, "
            f"{dataset.fingerprint[:12]} here). Restore those data, or name them with --data SOURCE."
        )


def with_chosen(recorded: Recorded, config: RunConfig) -> RunConfig:
    """The configuration with the teachers that a policy chose then: since, the repository may have changed."""
    path = recorded.record.folder / "selection.json"
    if not config.crosses or not config.selection.teachers.chooses or not path.is_file():
        return config
    found = read_json(path)["teachers"]
    order = ranked(found["scores"]) if found["scores"] else sorted(found["chosen"])
    weights = {name: found["chosen"][name] for name in order if name in found["chosen"]}
    settings = config.model_dump(mode="json")
    settings["selection"]["teachers"] = {"policy": "named", "weights": weights}
    return RunConfig.of(settings)


def with_teacher(recorded: Recorded, config: RunConfig, workspace: Workspace) -> RunConfig:
    """The configuration with the teacher of the recorded fingerprint, whatever it is called here."""
    wanted = recorded.fingerprints.get("teacher")
    if config.teacher is None or wanted is None:
        return config
    here = _teachers(workspace.teachers)
    if here.get(config.teacher) == wanted:
        return config
    name = next((name for name, fingerprint in here.items() if fingerprint == wanted), None)
    if name is not None:
        return config.model_copy(update={"teacher": name})
    present = ", ".join(f"{name} ({fingerprint[:12]})" for name, fingerprint in here.items()) or "none"
    raise UserError(
        f"teacher: {recorded.key} was taught by {config.teacher!r} with fingerprint {wanted[:12]}, and no teacher in "
        f"{workspace.teachers} has it (there: {present}). Copy that teacher's folder from the machine that has it, or "
        "reproduce the teacher's own run first."
    )


def _teachers(root: Path) -> dict[str, str]:
    """Fingerprints of the teachers that can be read, by name."""
    repository, found = TeacherRepository(root), {}
    for name in repository.names():
        try:
            found[name] = repository.load(name).fingerprint
        except UserError:
            continue  # a damaged one is no candidate
    return found
