"""The categories that the configuration names."""

from typing import ClassVar

from selkd.selection.categories.base import CategoryEvidence, CategoryPolicy, register


@register
class Explicit(CategoryPolicy):
    """`task.categories` as it stands, in its order."""

    name: ClassVar[str] = "explicit"

    def choose(self, evidence: CategoryEvidence, seed: int) -> tuple[str, ...]:
        return evidence.named
