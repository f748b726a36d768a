"""Architectures of students and teachers: one file a family, one registry. Import this package to know them all."""

from selkd.models import resnet, small, vision, wrn
from selkd.models.registry import FAMILIES, Family, Interface, Settings, build, check, names

__all__ = [
    "FAMILIES",
    "Family",
    "Interface",
    "Settings",
    "build",
    "check",
    "names",
    "resnet",
    "small",
    "vision",
    "wrn",
]
