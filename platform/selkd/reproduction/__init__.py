"""Recorded runs trained again from their record alone, and what differs when the student does."""

from selkd.reproduction.origin import Difference
from selkd.reproduction.outcome import Likeness
from selkd.reproduction.run import Reproduction, reproduce

__all__ = ["Difference", "Likeness", "Reproduction", "reproduce"]
