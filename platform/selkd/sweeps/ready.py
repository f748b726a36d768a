"""The search spaces that come with selkd, and the pools of teachers beside them."""

from pathlib import Path

from selkd.errors import UserError, nearest

FOLDER = Path(__file__).parent.parent / "search_spaces"
POOLS = FOLDER / "pools"


def ready(folder: Path = FOLDER) -> dict[str, Path]:
    """The files of the ready search spaces, or pools, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def path_of(space: str) -> Path:
    """The file of a search space: a path, or the name of a ready one."""
    return _found(space, FOLDER, "search space")


def pool_of(pool: str) -> Path:
    """The file of a pool of teachers: a path, or the name of a ready one."""
    return _found(pool, POOLS, "pool")


def _found(name: str, folder: Path, what: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    if name in (known := ready(folder)):
        return known[name]
    raise UserError(f"{name}: neither a file nor a ready {what}. {nearest(path.stem, known)}")
