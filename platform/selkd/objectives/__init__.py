"""Objectives: one file a method, one registry. Import this package to know them all."""

from selkd.objectives import cross, cross_entropy, kd, selkd
from selkd.objectives.base import REGISTRY, Context, Objective, ObjectiveSettings, View, find

__all__ = [
    "REGISTRY",
    "Context",
    "Objective",
    "ObjectiveSettings",
    "View",
    "cross",
    "cross_entropy",
    "find",
    "kd",
    "selkd",
]
