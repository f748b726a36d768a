"""Finished students brought to MLflow's model registry, with a card that says what they can do."""

from selkd.promotion.measured import Estimate, estimates
from selkd.promotion.run import Promoted, promote

__all__ = ["Estimate", "Promoted", "estimates", "promote"]
