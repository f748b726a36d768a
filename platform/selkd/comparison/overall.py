"""Three levels or more at once."""

from dataclasses import dataclass

from selkd.comparison.words import counted, listed, p_value

FEW_BLOCKS = 10
"""Below this the critical difference is only roughly right."""


@dataclass(frozen=True)
class Overall:
    """Do any levels differ, and which mean ranks lie apart (Friedman, Nemenyi)?"""

    blocks: int
    friedman: float | None  # p-value
    iman_davenport: float | None  # p-value
    ranks: dict[str, float]  # mean rank by level, 1 is best
    critical: float | None  # mean ranks further apart than this differ
    alike: list[tuple[str, ...]]  # levels that are not told apart, the largest sets
    note: str | None  # why a number is missing

    @property
    def words(self) -> list[str]:
        """In sentences."""
        if not self.ranks:
            return [f"All levels at once could not be tested: {self.note}."]
        tested = f": {p_value(self.friedman)} (Friedman), {p_value(self.iman_davenport)} (Iman and Davenport)"
        ranks = listed([f"{level} {rank:.2f}" for level, rank in self.ranks.items()], 20)
        said = [f"All levels at once, over {counted(self.blocks, 'block')}{tested}. Mean ranks: {ranks}."]
        if self.critical is not None:
            rough = ", roughly at so few" if self.blocks < FEW_BLOCKS else ""
            alike = listed([f"{{{', '.join(levels)}}}" for levels in self.alike])
            same = f" Not told apart: {alike}." if alike else ""
            said.append(f"Mean ranks further apart than {self.critical:.2f} differ (Nemenyi{rough}).{same}")
        return said
