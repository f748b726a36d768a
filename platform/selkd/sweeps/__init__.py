"""Sweeps: search spaces, and who proposes their candidates."""

from selkd.sweeps.past import Past
from selkd.sweeps.proposals import Proposer
from selkd.sweeps.space import SearchSpace

__all__ = ["Past", "Proposer", "SearchSpace"]
