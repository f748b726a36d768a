"""The working tree as a package: which files are shipped, what identifies them, and how much they are."""

import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from selkd.errors import UserError
from selkd.files import checksum

LIMIT = 50 * 2**20
IGNORE_FILES = (".gitignore", ".selkdignore")
NEVER = GitIgnoreSpec.from_lines([".git", ".selkd/", ".venv/", "__pycache__/", "*.pyc"])
_THEN = (1980, 1, 1, 0, 0, 0)  # the same content gives the same package

Rules = tuple[tuple[PurePosixPath, GitIgnoreSpec], ...]


@dataclass(frozen=True)
class Tree:
    """The files of a folder that no .gitignore or .selkdignore leaves out."""

    root: Path
    files: dict[str, Path]
    outside: tuple[str, ...]
    """Links that lead out of the tree: not followed, not shipped."""

    @classmethod
    def of(cls, root: Path, limit: int = LIMIT) -> "Tree":
        """What would be shipped; refused beyond `limit` bytes, with the folders that weigh most."""
        root = root.expanduser().resolve()
        if not root.is_dir():
            raise UserError(f"environment.tree: {root} is no folder.")
        outside: list[str] = []
        files = dict(sorted(_walk(root, PurePosixPath(), ((PurePosixPath(), NEVER),), (root,), outside)))
        tree = cls(root, files, tuple(outside))
        if tree.bytes > limit:
            heavy = ", ".join(f"{folder} ({megabytes(size)})" for folder, size in tree.largest(3))
            raise UserError(
                f"environment.tree: {root} would ship {megabytes(tree.bytes)}, more than {megabytes(limit)}. Most is "
                f"in {heavy}. Name what the job does not need in .selkdignore, written as .gitignore is."
            )
        return tree

    @classmethod
    def named(cls, root: Path, names: Iterable[str]) -> "Tree":
        """These files of a folder and nothing else, whatever is ignored; names that are not in it are left out."""
        root = root.expanduser().resolve()
        found = {name: root / name for name in names if ".." not in PurePosixPath(name).parts}
        inside = {n: path for n, path in found.items() if path.is_file() and path.resolve().is_relative_to(root)}
        return cls(root, inside, ())

    @cached_property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, contents and whether they can be executed."""
        found = hashlib.sha256()
        for name, path in self.files.items():
            found.update(f"{name}\0{os.access(path, os.X_OK):d}\0{checksum(path)}\n".encode())
        return found.hexdigest()

    @property
    def import_path(self) -> str | None:
        """The folder of the package, where the tree holds its source."""
        return "platform" if "platform/selkd/__init__.py" in self.files else None

    def largest(self, count: int) -> list[tuple[str, int]]:
        """The folders below the root that weigh most, files at the root by themselves."""
        sizes: Counter[str] = Counter()
        for name, path in self.files.items():
            first, slash, _ = name.partition("/")
            sizes[first + slash] += path.stat().st_size
        return sizes.most_common(count)

    def pack(self, path: Path) -> None:
        """Write the package; the same tree gives the same bytes."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            for name, file in self.files.items():
                entry = zipfile.ZipInfo(name, _THEN)
                entry.external_attr = (0o755 if os.access(file, os.X_OK) else 0o644) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                package.writestr(entry, file.read_bytes())


def _walk(
    folder: Path, below: PurePosixPath, rules: Rules, parents: tuple[Path, ...], outside: list[str]
) -> Iterator[tuple[str, Path]]:
    """Files in the folder that no rule leaves out. Links are followed within the tree, and never in a circle."""
    if lines := [line for name in IGNORE_FILES for line in _lines(folder / name)]:
        rules = (*rules, (below, GitIgnoreSpec.from_lines(lines)))
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name, path = below / entry.name, Path(entry.path)
        if _ignored(name, entry.is_dir(), rules):
            continue
        if entry.is_symlink():
            path = path.resolve()
            if not path.is_relative_to(parents[0]):
                outside.append(str(name))
                continue
        if path.is_dir():
            if path not in parents:
                yield from _walk(path, name, rules, (*parents, path), outside)
        elif path.is_file():
            yield str(name), path


def _ignored(name: PurePosixPath, is_folder: bool, rules: Rules) -> bool:
    """The last rule that speaks of a path decides; deeper files speak last."""
    for base, spec in reversed(rules):
        told = spec.check_file(f"{name.relative_to(base)}{'/' if is_folder else ''}").include
        if told is not None:
            return told
    return False


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines() if path.is_file() else []
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text.") from None


def megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
