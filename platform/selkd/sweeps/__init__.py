"""Sweeps: search spaces, who proposes their candidates, and what a study would take."""

from selkd.sweeps.past import Past
from selkd.sweeps.preview import Preview, preview
from selkd.sweeps.proposals import Proposer
from selkd.sweeps.space import SearchSpace

__all__ = ["Past", "Preview", "Proposer", "SearchSpace", "preview"]
