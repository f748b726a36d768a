"""Typed configuration of a run, and where things are kept."""

from typing import TYPE_CHECKING, Any

from selkd.config.load import override, parse, read, validate
from selkd.config.workspace import Workspace

if TYPE_CHECKING:
    from selkd.config.run import RunConfig

__all__ = ["RunConfig", "Workspace", "override", "parse", "read", "validate"]


def __getattr__(name: str) -> Any:
    """A run's configuration knows every component, and with them torch, which takes seconds to import."""
    if name != "RunConfig":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from selkd.config.run import RunConfig

    return RunConfig
