"""Label semantics: what categories mean, and so what it costs to say one for another. One file a family."""

from selkd.semantics import described, embedded, names, sentences
from selkd.semantics.base import SEMANTICS, Costs, Labels, Semantics, SemanticsSettings

__all__ = [
    "SEMANTICS",
    "Costs",
    "Labels",
    "Semantics",
    "SemanticsSettings",
    "described",
    "embedded",
    "names",
    "sentences",
]
