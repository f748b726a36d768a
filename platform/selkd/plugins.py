"""Components of other packages: an entry point names a module, which registers them when it is imported."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from selkd.errors import UserError

GROUP = "selkd.plugins"


@cache
def load() -> None:
    """Import every plug-in, so that its components are known by name. One that is broken is the user's to mend."""
    for point in _points():
        try:
            point.load()
        except Exception as error:
            owner = point.dist.name if point.dist else point.name
            reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            raise UserError(
                f"the plug-in {point.value!r} of {owner} cannot be used: {reason}. Mend it, or: pip uninstall {owner}"
            ) from error


def versions() -> dict[str, str]:
    """Packages that bring plug-ins, and their versions."""
    return {point.dist.name: point.dist.version for point in _points() if point.dist}


def _points() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
