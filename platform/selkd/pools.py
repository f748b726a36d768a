"""Pools of teachers: many small ones, each of some categories, trained from one file into the repository."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from selkd.config import RunConfig, Workspace, override, read, validate
from selkd.config.run import Settings
from selkd.errors import UserError
from selkd.models.teachers import TeacherCard, TeacherRepository
from selkd.sweeps.tree import put
from selkd.teachers import add
from selkd.tracking import Courier, tracking_uri
from selkd.training.loop import Epoch
from selkd.training.run import Recording, train
from selkd.training.teach import refuse_another

DELIVERY_PATIENCE = 30.0

Parameters = dict[str, Any]
Watch = Callable[[str, int, int], None]
"""Told which teacher comes next, how many are there, and of how many."""


class Pool(Settings):
    """A file of teachers: what all share, and of each by name what it has of its own."""

    name: str = Field(description="Name of the pool and of its MLflow experiment; the file's name when absent.")
    description: str = Field(default="", description="One line.")
    base: dict[str, Any] = Field(default={}, description="Configuration that all teachers share.")
    teachers: dict[str, Parameters] = Field(
        min_length=1, description="Dotted keys of each teacher, such as task.categories, by its name."
    )

    @field_validator("teachers")
    @classmethod
    def _each_can_be_trained(cls, teachers: dict[str, Parameters], known: ValidationInfo) -> dict[str, Parameters]:
        for name, own in teachers.items():
            config = _config(known.data.get("base", {}), name, own)
            if config.task.mode == "open":
                raise ValueError(f'{name}: an open student answers "not selected", which is no category to teach.')
        return teachers

    @classmethod
    def read(cls, path: Path, overrides: Iterable[str] = ()) -> "Pool":
        """A YAML file with dotted overrides."""
        return validate(cls, override({"name": path.stem, **read(path)}, overrides), str(path))

    def configs(self) -> dict[str, RunConfig]:
        """The run that makes each teacher."""
        return {name: _config(self.base | {"experiment": self.name}, name, own) for name, own in self.teachers.items()}


def train_pool(
    pool: Pool | Mapping[str, Any] | str | Path,
    workspace: Workspace | None = None,
    *,
    watch: Watch = lambda *_: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> dict[str, TeacherCard]:
    """Train the teachers of a pool that the repository lacks; an interrupted one goes on where it was."""
    pool, workspace = _of(pool), workspace or Workspace.default()
    repository, configs = TeacherRepository(workspace.teachers), pool.configs()
    for config in configs.values():
        refuse_another(config, workspace)
    missing = {name: config for name, config in configs.items() if name not in repository.names()}
    if missing:
        courier = Courier(tracking_uri(workspace.root), pool.name)
        try:
            for done, (name, config) in enumerate(missing.items(), len(configs) - len(missing)):
                watch(name, done, len(configs))
                trained = train(config, workspace, on_epoch=on_epoch, recording=Recording(deliver=False, figures=False))
                courier.poke(trained.folder)
                add(str(trained.folder), name, workspace=workspace)
        finally:
            courier.close(DELIVERY_PATIENCE)
    return {name: repository.load(name).card for name in configs}


def _of(pool: Pool | Mapping[str, Any] | str | Path) -> Pool:
    if isinstance(pool, Pool):
        return pool
    return validate(Pool, pool, "pool") if isinstance(pool, Mapping) else Pool.read(Path(pool))


def _config(base: Mapping[str, Any], name: str, own: Parameters) -> RunConfig:
    tree = override(base, ())
    for key, value in own.items():
        put(tree, key, value)
    try:
        return validate(RunConfig, tree | {"name": name}, name)
    except UserError as error:
        raise ValueError(str(error)) from None
