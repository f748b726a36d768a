"""Typed configuration of a run, and where things are kept."""

from selkd.config.load import override, parse, read, validate
from selkd.config.run import RunConfig
from selkd.config.workspace import Workspace

__all__ = ["RunConfig", "Workspace", "override", "parse", "read", "validate"]
