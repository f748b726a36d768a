"""A job: any selkd command, where it runs, on what, and how often it is tried. One YAML file, refused when wrong."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from selkd.cluster.settings import (
    Driver,
    Environment,
    Kubernetes,
    Nodes,
    Settings,
    Storage,
    Where,
    holds_password,
)
from selkd.config import override, read, validate
from selkd.files import fingerprint

NAME = r"^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$"
MOUNTED = Path("/mnt/selkd")
"""Where the shared storage is in pods, where the job does not say."""


class Job(Settings):
    """A job as its file describes it."""

    name: str = Field(pattern=NAME, description="Name of the job; the file's name when absent.")
    what: Annotated[list[str], Field(min_length=1, max_length=200)] = Field(
        description="A selkd command, a word an item: [sweep, fashion-open, concurrent=8]."
    )
    where: Where = Field(default=Where.model_validate("local"), description="local, `ray: ADDRESS`, or kuberay.")
    resources: dict[Annotated[str, Field(pattern=NAME)], Nodes] = Field(
        default={}, description="Types of worker nodes by name; none when absent, and nothing is checked."
    )
    driver: Driver = Field(default_factory=Driver, description="What the command itself reserves.")
    storage: Storage = Field(default_factory=Storage, description="Where the workspace is.")
    environment: Environment = Field(default_factory=Environment, description="Code, variables, secrets.")
    kubernetes: Kubernetes = Field(default_factory=Kubernetes, description="What only Kubernetes has.")
    retries: int = Field(default=0, ge=0, le=100, description="How often a command that failed is begun again.")
    deadline: float | None = Field(default=None, gt=0, description="Hours after which it is ended, retries included.")

    @field_validator("what", mode="before")
    @classmethod
    def _words(cls, what: Any) -> Any:
        """`seed=3` and `0.5` are words of the command, whatever YAML takes them for."""
        if isinstance(what, list):
            return [
                str(word) if isinstance(word, int | float) and not isinstance(word, bool) else word for word in what
            ]
        return what

    @field_validator("what")
    @classmethod
    def _is_a_command(cls, what: list[str]) -> list[str]:
        if what[0] == "selkd":
            raise ValueError("leave `selkd` out: the list begins with the command, such as sweep.")
        for word in what:
            if holds_password(word):
                raise ValueError(
                    "an address with a password would stand in the process list. Give it as a variable, by reference, "
                    "under environment.secrets."
                )
            if "\0" in word or "\n" in word:
                raise ValueError(f"{word!r}: words of a command have no line breaks.")
        return what

    @model_validator(mode="after")
    def _secrets_are_found_where_it_runs(self) -> "Job":
        for name, secret in self.environment.secrets.items():
            if self.where.kind == "kuberay" and secret.kubernetes is None:
                raise ValueError(
                    f"environment.secrets.{name}: pods read Kubernetes Secrets. "
                    "Add kubernetes: {name: ..., key: ...}."
                )
            if self.where.kind != "kuberay" and not (secret.env or secret.file):
                raise ValueError(f"environment.secrets.{name}: outside Kubernetes it needs env or file.")
        if self.where.kind == "kuberay" and self.environment.code == "tree":
            raise ValueError(
                "environment.code: pods run images. Build one with the Dockerfile, push it, and name it under "
                "environment.image."
            )
        return self

    @property
    def ships(self) -> bool:
        """Whether the working tree is what runs."""
        return self.where.kind != "kuberay" and self.environment.code != "image"

    def id(self, tree: str | None) -> str:
        """Equal for equal jobs on equal working trees, so that what is submitted twice is one job."""
        content = self.model_dump(mode="json", exclude={"environment": {"tree"}})
        return f"{self.name}-{fingerprint([content, tree])[:10]}"

    def written(self) -> dict[str, Any]:
        """As a file would have it; secrets are references, so there is nothing to hide."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"name": self.name}

    @classmethod
    def read(cls, path: Path, overrides: Iterable[str] = ()) -> "Job":
        """A YAML file with dotted overrides."""
        content: dict[str, Any] = {"name": path.stem, **read(path)}
        return validate(cls, override(content, overrides), str(path))

    @classmethod
    def of(cls, job: "Job | Mapping[str, Any] | str | Path") -> "Job":
        """A job as users give it: a typed one, a mapping, or the path of a YAML file."""
        if isinstance(job, Job):
            return job
        return validate(cls, job, "job") if isinstance(job, Mapping) else cls.read(Path(job))
