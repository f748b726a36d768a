"""The categories that the configuration names."""

from typing import ClassVar

from selkd.selection.categories.base import CategoryEvidence, CategoryPolicy, Choice, register


@register
class Explicit(CategoryPolicy):
    """`task.categories` as it stands, in its order."""

    name: ClassVar[str] = "explicit"
    order_free: ClassVar[bool] = False

    def choose(self, evidence: CategoryEvidence, seed: int) -> Choice:
        return Choice(evidence.named)
