"""What category policies and sample policies have in common."""

from pydantic import BaseModel, ConfigDict


class PolicySettings(BaseModel):
    """Settings of a policy; the bare class is that of a policy without any."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @property
    def needs_teacher(self) -> bool:
        """Whether the policy reads the teacher's answers."""
        return False
