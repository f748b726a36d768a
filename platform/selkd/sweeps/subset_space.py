"""Which category subsets a study may try, as users write it."""

from typing import Any

from pydantic import Field, field_validator

from selkd.selection.subsets import Constraints, Feasible, Positive, Subset

__all__ = ["Feasible", "Subset", "SubsetSpace"]


class SubsetSpace(Constraints):
    """The category subsets that a study searches: `subset:` of a search space."""

    size: Positive | tuple[Positive, Positive] = Field(
        description="Number of categories, or a list of the smallest and the largest number."
    )

    @field_validator("size", mode="before")
    @classmethod
    def _size_can_be(cls, size: Any) -> Any:
        bounds = list(size) if isinstance(size, list | tuple) else [size, size]
        whole = all(isinstance(bound, int) and not isinstance(bound, bool) for bound in bounds)
        if len(bounds) != 2 or not whole or not 1 <= bounds[0] <= bounds[1]:
            raise ValueError(
                f"{size!r} is not a size. Give a whole number of at least 1, "
                "or a list of the smallest and the largest, such as [3, 5]."
            )
        return tuple(bounds) if isinstance(size, list | tuple) else size

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest size."""
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)
