"""The configuration of one run: a teacher or one student. A component's own settings live with the component."""

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from selkd import models, objectives, plugins
from selkd.config.choices import choice
from selkd.config.conflicts import refuse_what_cannot_act
from selkd.config.load import override, read, validate
from selkd.data.augment import Augmentation
from selkd.data.faults import Faults
from selkd.files import fingerprint
from selkd.selection import CATEGORIES, SAMPLES, TEACHERS
from selkd.semantics import SEMANTICS
from selkd.training.optimisers import OptimiserSettings
from selkd.training.schedules import Schedule
from selkd.weighting import WEIGHTINGS

plugins.load()  # the types below list what is registered by now

SAID_IF_CHANGED = (
    *("start", "data.outer", "data.faults", "semantics", "weighting.heads", "weighting", "selection.teachers"),
    *("training.validate_every", "objective.likeliest"),
)
"""What a trial's key tells of only where it is not at its default."""


class Settings(BaseModel):
    """Unknown keys are refused; a configuration does not change after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Count = Annotated[int, Field(ge=1)]


class DataSettings(Settings):
    """Which rows there are, and how they are split and varied."""

    source: str = Field(
        default="digits",
        description="digits, fashion-mnist, mnist, cifar10, cifar100, imagefolder:PATH, or arrays:NAME of Python.",
    )
    root: Path | None = Field(
        default=None, description="Where data files are looked for; `data` in the workspace when absent."
    )
    image_size: int | None = Field(
        default=None, ge=4, le=1024, description="Side to which images of a folder are resized."
    )
    validation: float = Field(default=0.1, gt=0, lt=1, description="Share of the training rows that validates.")
    test: float = Field(
        default=0.2, gt=0, lt=1, description="Share that tests, where the data have no official test split."
    )
    outer: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the training rows that leaves training, for learned weightings to be fitted on.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the splits and of the stored views; one a study.")
    rows_per_category: Count | Annotated[dict[str, Count], Field(min_length=1)] | None = Field(
        default=None,
        description="Training rows a category, when fewer are wanted: one number, or one for each of some categories.",
    )
    memory_budget: int = Field(
        default=2 * 2**30,
        gt=0,
        description="Bytes of decoded images kept in mapped files; larger folders stream from disk.",
    )
    augment: Augmentation = Field(default_factory=Augmentation, description="Random augmentation of training rows.")
    faults: Faults = Field(default_factory=Faults, description="What is wrong on purpose with training rows.")

    @field_validator("source")
    @classmethod
    def _folder_is_absolute(cls, source: str) -> str:
        """Workers and later commands run in other folders."""
        family, _, path = source.partition(":")
        return f"{family}:{Path(path).expanduser().absolute()}" if family == "imagefolder" and path else source

    @field_validator("root")
    @classmethod
    def _root_is_absolute(cls, root: Path | None) -> Path | None:
        return root and root.expanduser().absolute()


class TaskSettings(Settings):
    """What the student must do."""

    categories: Annotated[list[str | int], Field(min_length=1)] | Literal["all"] = Field(
        default="all", description="Names, ids or superclasses of the selected categories."
    )
    mode: Literal["closed", "open"] = Field(default="closed", description='`open` may answer "not selected".')


class StudentSettings(BaseModel):
    """The student's architecture; keys beside `model` are settings of its family."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    model: str = Field(default="cnn", description="Name of an architecture; the end of this page lists them.")

    @model_validator(mode="after")
    def _known(self) -> "StudentSettings":
        models.check(self.model, self.extra)
        return self

    @property
    def extra(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


class TrainingSettings(Settings):
    """How the student is trained."""

    epochs: int | None = Field(default=30, ge=1, description="Passes over the task's rows. Give epochs or steps.")
    steps: int | None = Field(default=None, ge=1, description="Updates instead of epochs.")
    batch_size: int = Field(default=64, ge=1, description="Rows of the global batch, whatever the number of workers.")
    optimiser: OptimiserSettings = Field(default_factory=OptimiserSettings)
    schedule: Schedule = Field(default_factory=Schedule)
    precision: Literal["float32", "float64", "bf16", "fp16"] = Field(
        default="float32", description="bf16 and fp16 are mixed precision; fp16 needs a GPU."
    )
    clip: float | None = Field(default=None, gt=0, description="Largest gradient norm.")
    accumulate: int = Field(
        default=1,
        ge=1,
        description="Batches per update. A plan couples the rows of one batch, not of the whole update.",
    )
    teacher: Literal["stored", "online"] = Field(
        default="stored",
        description="`stored` replays evidence; `online` runs the teacher in every step (mixup needs that).",
    )
    views: int = Field(default=4, ge=1, le=256, description="Stored views a row, where augmentation is random.")
    keep: Literal["best", "last"] = Field(
        default="best", description="The student is the best epoch on validation, or the last."
    )
    validate_every: int = Field(
        default=1,
        ge=1,
        description="Epochs between two looks at the validation rows, each with a checkpoint; the last epoch has one. "
        "Where an epoch is a few batches, looking at every one takes longer than training.",
    )
    threads: int = Field(default=1, ge=1, description="CPU threads a worker process.")

    @model_validator(mode="before")
    @classmethod
    def _steps_replace_epochs(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("steps") is not None:
            if values.get("epochs") is not None:
                raise ValueError("give epochs or steps, not both")
            return {**values, "epochs": None}
        return values

    @model_validator(mode="after")
    def _some_training(self) -> "TrainingSettings":
        if self.epochs is None and self.steps is None:
            raise ValueError("give epochs or steps")
        return self


class WorkerSettings(Settings):
    """Who trains: one process, or several through Ray Train."""

    count: int = Field(
        default=1, ge=1, le=1024, description="Worker processes. They give the student that one would give."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="`auto` takes a GPU where there is one.")
    cpus: float = Field(default=1, gt=0, description="CPUs that Ray reserves a worker.")
    gpus: float = Field(
        default=1, gt=0, description="GPUs that Ray reserves a worker on cuda; several workers may share one."
    )
    least: int | None = Field(
        default=None,
        ge=1,
        description="Begin, or go on after a node was lost, with as few workers as this; null waits for all of them.",
    )
    retries: int = Field(default=3, ge=0, description="How often a lost worker is replaced before the run fails.")

    @model_validator(mode="after")
    def _least_of_count(self) -> Self:
        if self.least is not None and self.least > self.count:
            raise ValueError(f"least: {self.least} is more than count ({self.count}). Lower it.")
        return self


class SelectionSettings(Settings):
    """What is transferred: which categories, and how often each training row is used."""

    categories: choice(CATEGORIES, "policy") = Field(  # pyright: ignore[reportInvalidTypeForm]
        default="explicit",
        validate_default=True,
        description="Which categories: a policy, or a group with `policy` and its keys. `explicit`: task.categories.",
    )
    samples: choice(SAMPLES, "policy") = Field(  # pyright: ignore[reportInvalidTypeForm]
        default="all",
        validate_default=True,
        description="How often each training row is used: a policy, or a group with `policy` and its keys.",
    )
    teachers: choice(TEACHERS, "policy") = Field(  # pyright: ignore[reportInvalidTypeForm]
        default="named",
        validate_default=True,
        description="Whom objectives learn from that take teachers of other categories: a policy, or a group with "
        "`policy` and its keys. `named`: the key teacher.",
    )


class RunConfig(Settings):
    """One run: everything that decides the student, and nothing that does not."""

    name: str = Field(
        default="student", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name shown in tables."
    )
    experiment: str = Field(default="selkd", min_length=1, max_length=200, description="MLflow experiment.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Seed of initialisation, order, augmentation and dropout.")
    data: DataSettings = Field(default_factory=DataSettings)
    task: TaskSettings = Field(default_factory=TaskSettings)
    teacher: str | None = Field(default=None, description="Name of a teacher in the workspace's repository.")
    student: StudentSettings = Field(default_factory=StudentSettings)
    start: str | None = Field(
        default=None,
        description="Key or folder of a finished student of the same task and architecture, as which this one begins; "
        "random weights when absent.",
    )
    objective: choice(objectives.REGISTRY, "name") = Field(  # pyright: ignore[reportInvalidTypeForm]
        default="cross-entropy",
        validate_default=True,
        description="What the student learns from: a name, or a group with `name` and that objective's keys.",
    )
    semantics: choice(SEMANTICS, "source") = Field(  # pyright: ignore[reportInvalidTypeForm]
        default="names",
        validate_default=True,
        description="What it costs to say one category for another, where a teacher knows others than the data: a "
        "source, or a group with `source` and its keys.",
    )
    weighting: choice(WEIGHTINGS, "policy") = Field(  # pyright: ignore[reportInvalidTypeForm]
        default="fixed",
        validate_default=True,
        description="How truth and teacher are mixed row by row: a policy, or a group with `policy` and its keys. "
        "Objectives without a teacher term are left as they are.",
    )
    selection: SelectionSettings = Field(default_factory=SelectionSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    workers: WorkerSettings = Field(default_factory=WorkerSettings)

    @field_validator("start")
    @classmethod
    def _start_is_absolute(cls, start: str | None) -> str | None:
        """Workers and later commands run in other folders."""
        return str(Path(start).expanduser().absolute()) if start and "/" in start else start

    @model_validator(mode="after")
    def _parts_agree(self) -> "RunConfig":
        chosen = self.crosses and self.selection.teachers.chooses
        if self.needs_teacher and self.teacher is None and not chosen:
            here = "Name one of `selkd teachers list`, or let selection.teachers choose"
            remedy = here if self.crosses else "Train it with `selkd teach`"
            raise ValueError(f"teacher: objective {self.objective.name!r} needs one. {remedy}.")
        if chosen and self.teacher is not None:
            raise ValueError("teacher: does nothing where selection.teachers says which ones. Remove one of them.")
        for key in ("categories", "samples"):
            settings = getattr(self.selection, key)
            policy = f"selection.{key}.policy {settings.policy!r}"
            if settings.needs_teacher and self.teacher is None and not chosen:
                raise ValueError(f"teacher: {policy} reads one. Train it with `selkd teach`.")
            if settings.needs_teacher and self.crosses and key == "categories":
                raise ValueError(
                    f"objective.name: {policy} reads a teacher of the data's own categories, and "
                    f"{self.objective.name!r} learns from teachers of any. Choose another policy or objective."
                )
        if self.crosses and self.weighting.needs_start:
            raise ValueError(
                f"weighting.policy: {self.weighting.policy!r} hands the objective answers of the student as it began, "
                f"and {self.objective.name!r} learns from teachers of other categories. Choose another of the two."
            )
        if self.crosses and self.data.faults.teacher:
            raise ValueError(
                f"data.faults.teacher: spoils a teacher of the data's own categories, and objective "
                f"{self.objective.name!r} learns from teachers of any. Set it to 0."
            )
        self._refuse_weighting_without_means()
        if self.needs_teacher and self.data.augment.mixes and self.training.teacher == "stored":
            raise ValueError(
                "data.augment: mixup and cutmix make images that no stored view holds. Set training.teacher=online."
            )
        if self.training.precision == "fp16" and self.workers.device == "cpu":
            raise ValueError("training.precision: fp16 needs a GPU. Use bf16 or float32 with workers.device=cpu.")
        refuse_what_cannot_act(self)
        return self

    def _refuse_weighting_without_means(self) -> None:
        """A weighting needs something to mix, and rows or a student of its own where it learns or compares."""
        if self.weighting.needs_start and self.start is None:
            raise ValueError(
                f"start: weighting.policy {self.weighting.policy!r} compares the teacher with the student as it began, "
                "and an untrained one knows nothing. Name a finished student."
            )
        if self.weighting.needs_outer and self.data.outer == 0:
            raise ValueError(
                f"data.outer: weighting.policy {self.weighting.policy!r} is fitted on rows of its own, and there are "
                "none. Set data.outer, for example to 0.1."
            )
        if self.weighting.needs_outer and self.training.accumulate > 1:
            raise ValueError(
                f"training.accumulate: weighting.policy {self.weighting.policy!r} learns from steps of one batch. "
                "Set training.accumulate=1."
            )
        if self.needs_teacher and not self.mixes and not self.weighting.plain:
            raise ValueError(
                f"objective.gamma: 0 leaves weighting.policy {self.weighting.policy!r} nothing to mix. Raise "
                "objective.gamma, or set weighting.policy=fixed."
            )

    @property
    def needs_teacher(self) -> bool:
        """Whether training asks a teacher anything."""
        return objectives.find(self.objective.name).needs_teacher and getattr(self.objective, "alpha", 1) > 0

    @property
    def mixes(self) -> bool:
        """Whether a weighting has something to mix: as a rule labels and a teacher."""
        return self.needs_teacher and (self.objective.gamma > 0 or not self.weighting.needs_truth)

    @property
    def reads_teacher(self) -> bool:
        """Whether anything depends on the teacher's answers."""
        return self.needs_teacher or self.selection.categories.needs_teacher or self.selection.samples.needs_teacher

    @property
    def crosses(self) -> bool:
        """Whether teachers may know other categories than the data."""
        return objectives.find(self.objective.name).crosses

    @property
    def key(self) -> str:
        """The trial's key: equal for equal configurations, whatever the number of workers and the experiment."""
        decides = self.model_dump(mode="json", exclude={"experiment": True, "workers": True})
        plain = RunConfig().model_dump(mode="json")
        for group in ("objective", "weighting"):
            fields = type(getattr(self, group)).model_fields
            plain[group] |= {
                name: field.default for name, field in fields.items() if f"{group}.{name}" in SAID_IF_CHANGED
            }
        for group in SAID_IF_CHANGED:
            *above, name = group.split(".")
            mine, default = (reduce(getitem, above, tree) for tree in (decides, plain))
            if name in mine and mine[name] == default[name]:
                del mine[name]
        return f"{self.name}-{fingerprint(decides)[:10]}"

    @classmethod
    def of(cls, config: "RunConfig | Mapping[str, Any] | str | Path") -> "RunConfig":
        """A configuration as users give it: a typed one, a mapping, or the path of a YAML file."""
        if isinstance(config, RunConfig):
            return config
        return validate(cls, config, "configuration") if isinstance(config, Mapping) else cls.read(Path(config))

    @classmethod
    def read(cls, path: Path, overrides: Iterable[str] = ()) -> "RunConfig":
        """A YAML file with dotted overrides."""
        return validate(cls, override(read(path), overrides), str(path))
