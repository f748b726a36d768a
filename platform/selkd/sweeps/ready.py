"""The search spaces that come with selkd."""

from pathlib import Path

from selkd.errors import UserError, nearest

FOLDER = Path(__file__).parent.parent / "search_spaces"


def ready() -> dict[str, Path]:
    """The files of the ready search spaces, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def path_of(space: str) -> Path:
    """The file of a search space: a path, or the name of a ready one."""
    path = Path(space)
    if path.is_file():
        return path
    if space in (spaces := ready()):
        return spaces[space]
    raise UserError(f"{space}: neither a file nor a ready search space. {nearest(path.stem, spaces)}")
