"""The parts of a job: where it runs, on what nodes, what it keeps, and what it sees."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

from selkd.errors import nearest

UNITS = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
KINDS = ("local", "ray", "kuberay")
LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
_SECRET = re.compile(r"passw|secret|token|credential|api_?key|access_?key|private_?key", re.IGNORECASE)
_NAMES_A_FILE = re.compile(r"_(path|file)$", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/@\s]+@")

Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]*(Mi|Gi|Ti)$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Label = Annotated[str, Field(pattern=LABEL, max_length=63)]


class Settings(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Where(Settings):
    """`local`, `ray: ADDRESS` or `kuberay`: the one word that changes between laptop and cluster."""

    kind: Literal["local", "ray", "kuberay"]
    address: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        match value:
            case "local" | "kuberay":
                return {"kind": value}
            case {"ray": str(address), **others} if not others:
                if not re.match(r"https?://[^/\s]", address) or _PASSWORD.search(address):
                    raise ValueError(f"ray: {address!r} is not the http address of a dashboard, without a password.")
                return {"kind": "ray", "address": address.rstrip("/")}
            case "ray" | {"ray": _}:
                raise ValueError("ray: say which cluster, for example `ray: http://127.0.0.1:8265`.")
        raise ValueError(f"{value!r} is no place. {nearest(str(value), KINDS)}")

    @model_serializer
    def _written(self) -> Any:
        return {"ray": self.address} if self.kind == "ray" else self.kind

    def __str__(self) -> str:
        return f"ray at {self.address}" if self.kind == "ray" else self.kind


class Place(Settings):
    """What a process holds on its node."""

    cpus: float = Field(default=1, gt=0, description="CPUs.")
    gpus: int = Field(default=0, ge=0, description="GPUs.")
    memory: Memory = Field(default="2Gi", description="Memory, such as 512Mi or 16Gi.")

    @property
    def needs(self) -> dict[str, float]:
        """In Ray's words."""
        return {"CPU": self.cpus, "GPU": float(self.gpus), "memory": float(in_bytes(self.memory))}


class Nodes(Place):
    """One type of worker node. On Kubernetes each worker is a pod; elsewhere, room of that size on a node."""

    workers: int = Field(default=1, ge=0, le=10_000, description="Workers of this type.")
    most: int | None = Field(
        default=None, ge=1, le=10_000, description="Up to so many while work waits; the same number when absent."
    )
    labels: dict[str, str] = Field(default={}, description="Labels that its nodes have.")
    autoscaled: bool = Field(
        default=False, description="The cluster makes such nodes when they are asked for, so none need be there now."
    )

    @model_validator(mode="after")
    def _most_is_not_fewer(self) -> "Nodes":
        if self.most is not None and self.most < self.workers:
            raise ValueError(f"most: {self.most} is fewer than the {self.workers} workers there are from the start.")
        if not (self.most or self.workers):
            raise ValueError("workers: none, and `most` allows none later. Remove this type of node.")
        return self


class Driver(Settings):
    """What the command itself reserves. A sweep needs nothing; `selkd train` with one worker trains in it."""

    cpus: float = Field(default=0, ge=0, description="CPUs.")
    gpus: int = Field(default=0, ge=0, description="GPUs.")

    @property
    def needs(self) -> dict[str, float]:
        return {"CPU": self.cpus, "GPU": float(self.gpus)}


class Storage(Settings):
    """Where the workspace is: ledgers, evidence, checkpoints, students."""

    workspace: Path | None = Field(
        default=None,
        description="Folder of the workspace, on storage that all nodes mount; this machine's own when absent.",
    )
    store: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://[^\s]+$")] | None = Field(
        default=None,
        description="Address of the store, such as s3://bucket/folder, to which all that is finished is published.",
    )
    claim: Label = Field(
        default="selkd", description="Kubernetes: the PersistentVolumeClaim that is mounted there, ReadWriteMany."
    )

    @field_validator("workspace")
    @classmethod
    def _absolute(cls, workspace: Path | None) -> Path | None:
        """Workers run in other folders."""
        if workspace is not None and (not workspace.is_absolute() or ".." in workspace.parts):
            raise ValueError(f"{workspace} is not an absolute path. Name the folder as all nodes see it.")
        return workspace

    @field_validator("store")
    @classmethod
    def _store_holds_no_secret(cls, store: str | None) -> str | None:
        if store is not None and (holds_password(store) or _SECRET.search(store)):
            raise ValueError("an address holds no password. Give keys by reference, under environment.secrets.")
        return store

    @property
    def variables(self) -> dict[str, str]:
        return {"SELKD_STORE": self.store} if self.store else {}


class KubernetesSecret(Settings):
    """A key of a Kubernetes Secret."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]
    key: Annotated[str, Field(pattern=r"^[-._A-Za-z0-9]+$", max_length=253)]


class Secret(Settings):
    """Where the value is found, there where the job runs. It is never read here, stored or sent."""

    env: Variable | None = Field(default=None, description="local, ray: a variable of the machine that runs the job.")
    file: Path | None = Field(default=None, description="local, ray: a file of the machine that runs the job.")
    kubernetes: KubernetesSecret | None = Field(default=None, description="kuberay: a key of a Secret.")

    @model_validator(mode="before")
    @classmethod
    def _is_a_reference(cls, value: Any) -> Any:
        """A value in its place must not be repeated by the error."""
        if not isinstance(value, dict | Secret):
            raise ValueError("write where the value is found, such as {env: NAME}, and never the value")
        return value

    @model_validator(mode="after")
    def _found_in_one_place(self) -> "Secret":
        if self.env and self.file:
            raise ValueError("give env or file, not both")
        if not (self.env or self.file or self.kubernetes):
            raise ValueError("say where it is found: env, file or kubernetes")
        return self


class Environment(Settings):
    """The code that runs, and the variables it sees."""

    code: Literal["tree", "image"] | None = Field(
        default=None,
        description="`tree` ships the working tree, `image` uses what is installed there; kuberay has images only.",
    )
    tree: Path = Field(default=Path(), validate_default=True, description="Folder of the working tree.")
    image: str = Field(
        default="selkd:cpu", pattern=r"^[^\s@:][^\s]*$", description="Kubernetes: the image of all pods."
    )
    variables: dict[Variable, str] = Field(default={}, description="Environment variables that anyone may read.")
    secrets: dict[Variable, Secret] = Field(default={}, description="Environment variables by reference.")

    @field_validator("tree")
    @classmethod
    def _tree_is_absolute(cls, tree: Path) -> Path:
        """A job may be submitted again from another folder."""
        return tree.expanduser().absolute()

    @field_validator("variables", mode="before")
    @classmethod
    def _numbers_are_text(cls, variables: Any) -> Any:
        if isinstance(variables, dict):
            return {key: str(value) if isinstance(value, int | float) else value for key, value in variables.items()}
        return variables

    @field_validator("variables")
    @classmethod
    def _hold_no_secret(cls, variables: dict[str, str]) -> dict[str, str]:
        for name, value in variables.items():
            if (_SECRET.search(name) and not _NAMES_A_FILE.search(name)) or _PASSWORD.search(value):
                raise ValueError(
                    f"{name} looks like a secret, and a job file is read by many. Put it under environment.secrets, "
                    f"for example {name}: {{env: {name}}}."
                )
            if "$" in value:
                raise ValueError(f"{name}: Ray would replace what follows `$`. Write the value out.")
        return variables

    @model_validator(mode="after")
    def _no_name_twice(self) -> "Environment":
        if both := self.variables.keys() & self.secrets.keys():
            raise ValueError(f"{', '.join(sorted(both))}: both a variable and a secret. Remove one.")
        return self


class Kubernetes(Settings):
    """What only Kubernetes has."""

    namespace: Label = Field(default="default", description="Namespace of everything.")
    context: str | None = Field(default=None, description="Context of kubectl; its present one when absent.")
    cluster: Label | None = Field(
        default=None,
        description="Name of a RayCluster that stays and that several jobs share; a cluster of its own when absent.",
    )
    head: Place = Field(default=Place(cpus=2, memory="8Gi"), description="The pod of Ray's head, which runs drivers.")


def in_bytes(memory: str) -> int:
    """`16Gi` as a number."""
    return int(memory[:-2]) * UNITS[memory[-2:]]


def holds_password(text: str) -> bool:
    """Whether an address in the text has a user and a password."""
    return bool(_PASSWORD.search(text))
