"""A folder of images: one folder a category, with or without train and test (or val) folders above them."""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from selkd.data import decoded
from selkd.data.cache import Arrays, Create
from selkd.data.dataset import Dataset
from selkd.data.progress import tell
from selkd.data.rows import DECODERS, StreamedRows
from selkd.data.sources.images import SUFFIXES, decode, layout
from selkd.errors import UserError
from selkd.files import fingerprint

TESTS = ("test", "val")
SUBMITTED = 4096  # files handed to the threads at a time


@dataclass(frozen=True)
class Listing:
    """The image files of one part, by category and name."""

    files: list[Path]
    labels: list[int]
    states: list[tuple[int, int, int]]  # size, and when content and entry changed


def image_folder(path: Path, *, root: Path, image_size: int | None, memory_budget: int) -> Dataset:
    """Categories are the sorted folder names. Images beyond `memory_budget` decoded bytes are streamed from disk."""
    folders = _part_folders(path)
    categories = _categories(folders)
    listings = {part: _listing(folder, categories) for part, folder in folders.items()}
    index = _index(path, root, listings)
    shape = _shape(path, listings, index, image_size)
    rows = {part: StreamedRows(own.files, torch.tensor(own.labels), shape, decode) for part, own in listings.items()}
    content = {
        "categories": categories,
        "shape": shape,
        "parts": {p: [_digest(index[f"{p}_checksums"]), _digest(rows[p].labels.numpy())] for p in rows},
    }
    streamed = sum(map(len, rows.values())) * math.prod(shape) > memory_budget
    return (decoded.stream if streamed else decoded.keep)(
        root, content, lambda: rows, name=path.name, categories=categories
    )


def _part_folders(path: Path) -> dict[str, Path]:
    """The folder itself, or its train folder and the folder of official test rows."""
    train = path / "train"
    if not train.is_dir() or not _folders(train):
        return {"train": path}
    tests = [path / name for name in TESTS if (path / name).is_dir()]
    if len(tests) > 1:
        raise UserError(
            f"{path} has the folders {tests[0].name} and {tests[1].name}, and only one can be the test split. "
            "Validation rows are drawn from train: move one of them away, or merge it into train."
        )
    return {"train": train, "test": tests[0]} if tests else {"train": train}


def _categories(folders: Mapping[str, Path]) -> tuple[str, ...]:
    named = {part: [folder.name for folder in _folders(path)] for part, path in folders.items()}
    if not named["train"]:
        raise UserError(f"{folders['train']} has no folders. Give a folder that holds one folder of images a category.")
    for part, names in named.items():
        differing = sorted(set(names) ^ set(named["train"]))
        if differing:
            raise UserError(
                f"category {differing[0]!r} has a folder in only one of {folders['train']} and {folders[part]}. "
                "Every category needs one in both."
            )
    return tuple(named["train"])


def _folders(path: Path) -> list[Path]:
    return [entry for entry in _entries(path) if entry.is_dir()]


def _entries(path: Path) -> list[Path]:
    """What a folder holds, by name, hidden entries left out."""
    try:
        visible = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    except FileNotFoundError:
        raise UserError(f"{path}: no such folder. Give imagefolder:PATH an existing one.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Give imagefolder:PATH a readable folder.") from error
    return sorted(visible, key=lambda entry: entry.name)


def _listing(folder: Path, categories: tuple[str, ...]) -> Listing:
    listing = Listing([], [], [])
    for label, category in enumerate(categories):
        files = _entries(folder / category)
        if not files:
            raise UserError(
                f"{folder / category} is empty: category {category!r} has no images. Add some or remove it."
            )
        for file in files:
            if file.suffix.lower() not in SUFFIXES:
                raise UserError(
                    f"{file} is no image ({', '.join(sorted(SUFFIXES))}). Move it out of the category's folder."
                )
            try:
                state = file.stat()
            except OSError as error:
                raise UserError(f"{file} cannot be read: {error.strerror}. Repair or remove it.") from error
            listing.files.append(file)
            listing.labels.append(label)
            listing.states.append((state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return listing


def _index(path: Path, root: Path, listings: Mapping[str, Listing]) -> Arrays:
    """Checksum and layout of every file, computed again only for a listing that changed."""
    key = {"index of": str(path.absolute())}
    for part, own in listings.items():
        key[part] = fingerprint([list(map(str, own.files)), own.states])

    def make(create: Create) -> None:
        with ThreadPoolExecutor(DECODERS) as threads:
            for part, own in listings.items():
                checksums = create(f"{part}_checksums", (len(own.files), 32), "|u1")
                layouts = create(f"{part}_layouts", (len(own.files), 3), "<i4")
                for start in range(0, len(own.files), SUBMITTED):
                    found = threads.map(_examine, own.files[start : start + SUBMITTED])
                    for row, (checksum, layout_found) in enumerate(found, start):
                        checksums[row] = np.frombuffer(checksum, np.uint8)
                        layouts[row] = layout_found
                    tell(f"{path.name}, {part}: reading", min(start + SUBMITTED, len(own.files)), len(own.files))

    return decoded.arrays_under(root).get(key, make, what=f"the checksums of the files in {path}")


def _examine(file: Path) -> tuple[bytes, tuple[int, int, int]]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}. Repair or remove it.") from error
    return sha256(content).digest(), layout(file, content)


def _shape(path: Path, listings: Mapping[str, Listing], index: Arrays, image_size: int | None) -> tuple[int, int, int]:
    """One shape for all images: colour where any image has colour; of one size, or scaled to `image_size`."""
    layouts = np.concatenate([index[f"{part}_layouts"] for part in listings])
    channels = int(layouts[:, 0].max())
    if image_size is not None:
        return channels, image_size, image_size
    sizes = layouts[:, 1:]
    differing = np.flatnonzero((sizes != sizes[0]).any(1))
    if len(differing):
        files = [file for own in listings.values() for file in own.files]
        raise UserError(
            f"{path}: images differ in size: {files[0]} has {_shown(sizes[0])}, {files[differing[0]]} has "
            f"{_shown(sizes[differing[0]])} (height x width). Set image_size to scale all to one."
        )
    height, width = sizes[0].tolist()
    return channels, height, width


def _shown(size: np.ndarray) -> str:
    return " x ".join(map(str, size.tolist()))


def _digest(values: np.ndarray) -> str:
    return sha256(np.ascontiguousarray(values).data).hexdigest()
