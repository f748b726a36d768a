"""How well the scores of teachers foretold what their students became."""

from selkd.judging.result import Judgement
from selkd.judging.run import judge

__all__ = ["Judgement", "judge"]
