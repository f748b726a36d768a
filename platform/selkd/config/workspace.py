"""The folder that holds everything selkd makes."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """Paths below one root: `.selkd` here, or what SELKD_WORKSPACE says."""

    root: Path

    @classmethod
    def default(cls) -> "Workspace":
        return cls(Path(os.environ.get("SELKD_WORKSPACE", ".selkd")))

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).expanduser().absolute())

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def teachers(self) -> Path:
        return self.root / "teachers"

    @property
    def evidence(self) -> Path:
        return self.root / "evidence"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def studies(self) -> Path:
        return self.root / "studies"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"
