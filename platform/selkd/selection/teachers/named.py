"""Teachers that the configuration names."""

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
        return Chosen({name: weight / total for name, weight in weights.items()})
