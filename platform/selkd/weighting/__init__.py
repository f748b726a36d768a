"""Weightings of truth against teacher: one file a family. Import this package to know them all."""

from selkd.weighting import learned, plain, rules, tgeo, transfer
from selkd.weighting.base import WEIGHTINGS, Moment, Weighting, WeightingSettings

__all__ = [
    "WEIGHTINGS",
    "Moment",
    "Weighting",
    "WeightingSettings",
    "learned",
    "plain",
    "rules",
    "tgeo",
    "transfer",
]
