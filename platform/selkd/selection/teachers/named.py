"""Teachers that the configuration names."""

import math
from typing import Annotated, ClassVar

from pydantic import Field

from selkd.selection.teachers.base import Chosen, TeacherEvidence, TeacherPolicy, TeacherPolicySettings, register


class NamedSettings(TeacherPolicySettings):
    """Settings of `named`."""

    weights: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)] | None = Field(
        default=None, description="Several teachers by name, and how much each counts; instead of `teacher`."
    )

    @property
    def chooses(self) -> bool:
        return self.weights is not None


@register
class Named(TeacherPolicy):
    """`teacher` as it stands, or several with `weights`."""

    name: ClassVar[str] = "named"
    Settings = NamedSettings
    settings: NamedSettings

    def choose(self, evidence: TeacherEvidence, seed: int) -> Chosen:
        weights = self.settings.weights or {name: 1.0 for name in (evidence.named,) if name is not None}
        total = sum(weights.values())
        total = 1.0 if math.isclose(total, 1, rel_tol=1e-12) else total  # shares stay what they are, to the last bit
        return Chosen({name: weight / total for name, weight in weights.items()})
