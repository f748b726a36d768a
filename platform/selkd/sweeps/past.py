"""What became of a candidate, as the ledger says it and samplers are told it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class Past:
    """One candidate; without a state it is still open."""

    number: int
    parameters: Mapping[str, Any]
    state: State | None = None
    values: Sequence[float] | None = None
    constraints: Sequence[float] = ()

    @property
    def sound(self) -> "Past":
        """The same, where values that are no numbers make a complete candidate a failed one."""
        numbers = (*(self.values or ()), *self.constraints)
        if all(map(math.isfinite, numbers)) and (self.values or self.state != "complete"):
            return self
        state = "failed" if self.state == "complete" else self.state
        return replace(self, state=state, values=None, constraints=())
