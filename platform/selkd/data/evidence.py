"""Evidence: what is known per row and per category before training, computed once and shared as memory-mapped files.

A folder per key, named by the key's fingerprint, holds one `.npy` file an array and `meta.json` with the key and the
checksums. Shapes: V views, N rows, K categories of the teacher.
"""

import contextlib
import errno
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from selkd.data.augment import Augmentation, augment
from selkd.data.dataset import Part
from selkd.errors import UserError
from selkd.files import cannot_write, checksum, fingerprint, read_json, write_json, writing_folder

LOGITS_VERSION = 1
STATISTICS_VERSION = 1
STATISTICS_ROWS = 1024

Create = Callable[[str, tuple[int, ...], str], np.ndarray]

_verified: set[tuple[str, int, int, int, str]] = set()


class Evidence(Mapping[str, np.ndarray]):
    """Read-only arrays by name, mapped from the files of `folder`."""

    def __init__(self, folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
        self.folder = folder
        self._arrays = arrays

    @property
    def fingerprint(self) -> str:
        return self.folder.name

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class Damaged(Exception):
    """Stored evidence that cannot be trusted; the message names the file."""


class EvidenceStore:
    """Content-addressed evidence under one folder, safe for any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: Mapping[str, Any], make: Callable[[Create], None]) -> Evidence:
        """The evidence of `key`; `make(create)` computes it when absent, `create(name, shape, dtype)` maps an array."""
        folder = self.root / fingerprint(key)
        with contextlib.suppress(FileNotFoundError, Damaged):
            return _read(folder)
        with self._alone(folder):
            try:
                return _read(folder)
            except FileNotFoundError:
                pass
            except Damaged as damage:
                warnings.warn(f"{damage}: this evidence is computed again.", stacklevel=2)
                _remove(folder)
            for abandoned in self.root.glob(f".{folder.name}.*/"):
                _remove(abandoned)
            _write(folder, key, make)
            return _read(folder)

    @contextlib.contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Wait until no other process computes the same evidence."""
        lock = FileLock(self.root / f".{folder.name}.lock")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise cannot_write(self.root, error) from error
        try:
            yield
        finally:
            lock.release()


def _write(folder: Path, key: Mapping[str, Any], make: Callable[[Create], None]) -> None:
    with writing_folder(folder) as part:

        def create(name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
            try:
                array = np.lib.format.open_memmap(part / f"{name}.npy", mode="w+", dtype=np.dtype(dtype), shape=shape)
                _reserve(part / f"{name}.npy")
            except OSError as error:
                raise cannot_write(folder, error) from error
            arrays.append(array)
            return array

        arrays: list[np.memmap] = []
        try:
            make(create)
        except OSError as error:
            raise UserError(f"evidence {folder.name[:12]} could not be computed: {error}") from error
        for array in arrays:
            array.flush()
        checksums = {file.stem: checksum(file) for file in sorted(part.glob("*.npy"))}
        content = {"key": dict(key), "checksums": checksums}
        write_json(part / "meta.json", {**content, "fingerprint": fingerprint(content)})


def _reserve(file: Path) -> None:
    """Take the disk space now: a full disk met while writing through a map kills the process."""
    size = file.stat().st_size
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, size)
    elif shutil.disk_usage(file.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read(folder: Path) -> Evidence:
    """Map stored evidence; FileNotFoundError when there is none, Damaged when it is not what was written."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        meta = read_json(folder / "meta.json")
        content = {"key": meta["key"], "checksums": meta["checksums"]}
        sound = meta["fingerprint"] == fingerprint(content)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"{folder / 'meta.json'} is missing or unreadable") from error
    if not sound:
        raise Damaged(f"{folder / 'meta.json'} is corrupt (its fingerprint differs)")
    if fingerprint(content["key"]) != folder.name:
        raise Damaged(f"{folder / 'meta.json'} describes other evidence")
    arrays = {name: _map(folder / f"{name}.npy", expected) for name, expected in content["checksums"].items()}
    return Evidence(folder, arrays)


def _map(file: Path, expected: str) -> np.ndarray:
    """Map one array; its checksum is compared once per process, until the file changes."""
    try:
        status = file.stat()
        seen = (str(file), status.st_ino, status.st_size, status.st_mtime_ns, expected)
        if seen not in _verified:
            if checksum(file) != expected:
                raise Damaged(f"{file} is corrupt (its checksum differs)")
            _verified.add(seen)
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise Damaged(f"{file} cannot be read ({error})") from error


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error


def teacher_logits(
    store: EvidenceStore,
    *,
    teacher_fingerprint: str,
    logits_of: Callable[[Tensor], Tensor],
    part: Part,
    data_fingerprint: str,
    part_name: str,
    views: int,
    augmentation: Augmentation,
    seed: int,
    fill: Tensor,
    device: torch.device | str,
    batch_size: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> Evidence:
    """The teacher's `logits` [V, N, K] (float32) over a part, in its order.

    Without random augmentation there is one plain view; with it, view v is `augment(..., seed=seed, step=v)`.
    `logits_of` receives images in [0, 1] on `device`; `progress` the rows done and in all, views counted.
    """
    if augmentation.mixes:
        raise UserError(
            "mixup and cutmix make images that no stored view holds. Let the teacher run online, or set mixup and "
            "cutmix to 0."
        )
    if len(part) == 0:
        raise UserError(f"the {part_name} part has no rows, so there is nothing to ask the teacher.")
    drawn = {
        "seed": seed,
        "augmentation": augmentation.model_dump(),
        "fill": fill.tolist() if augmentation.erase else None,
    }
    views = views if augmentation.random else 1
    key = {
        "evidence": "teacher logits",
        "version": LOGITS_VERSION,
        "teacher": teacher_fingerprint,
        "data": data_fingerprint,
        "part": part_name,
        "index": sha256(part.ids.cpu().numpy().astype("<i8").tobytes()).hexdigest(),
        "views": views,
        "drawn": drawn if augmentation.random else None,
    }

    def make(create: Create) -> None:
        logits = None
        for rows in torch.arange(len(part)).split(batch_size):
            images = part.pixels(rows).to(device).float() / 255
            ids = part.ids[rows].to(device)
            for view in range(views):
                seen = augment(images, ids, seed=seed, step=view, settings=augmentation, fill=fill)
                answers = logits_of(seen).float().cpu()
                if not answers.isfinite().all():
                    raise UserError(
                        f"teacher {teacher_fingerprint[:12]} gives outputs that are not finite on the {part_name} part."
                    )
                if logits is None:
                    logits = create("logits", (views, len(part), answers.shape[1]), "<f4")
                logits[view, rows[0] : rows[-1] + 1] = answers.numpy()
                if progress is not None:
                    progress(int(rows[0]) * views + (view + 1) * len(rows), views * len(part))

    with torch.no_grad():
        return store.get(key, make)


def statistics(store: EvidenceStore, logits: Evidence, labels: Tensor) -> Evidence:
    """What stored `logits` [V, N, K] say about rows and categories, given `labels` [N]; means over views.

    Per row: `true_probability`, `margin` (true less best other probability), `entropy` in nats, `correct`. Per
    category: `mean_probability` and `confusion` [K, K] (true, predicted; counts), `accuracy`, `rows`. A category
    without rows has NaN as means.
    """
    count, categories = logits["logits"].shape[1:]
    labels = labels.cpu().long()
    if len(labels) != count or (count and not 0 <= int(labels.min()) <= int(labels.max()) < categories):
        raise UserError(
            f"labels ({len(labels)} rows, up to {int(labels.max()) if len(labels) else 0}) do not fit the teacher's "
            f"logits ({count} rows, {categories} categories)."
        )
    key = {
        "evidence": "statistics of teacher logits",
        "version": STATISTICS_VERSION,
        "logits": logits.fingerprint,
        "labels": sha256(labels.numpy().astype("<i8").tobytes()).hexdigest(),
    }

    def make(create: Create) -> None:
        views = len(logits["logits"])
        by_row = {name: create(name, (count,), "<f4") for name in ("true_probability", "margin", "entropy", "correct")}
        mass = torch.zeros(categories, categories, dtype=torch.float64)
        confusion = torch.zeros(categories, categories, dtype=torch.float64)
        for rows in torch.arange(count).split(STATISTICS_ROWS):
            part, truth = slice(int(rows[0]), int(rows[-1]) + 1), labels[rows]
            found = torch.from_numpy(logits["logits"][:, part].astype(np.float64)).softmax(-1)  # [V, rows, K]
            true = found.gather(2, truth.expand(views, -1)[..., None])
            others = found.scatter(2, truth.expand(views, -1)[..., None], 0.0)
            predicted = found.argmax(-1)
            by_row["true_probability"][part] = true[..., 0].mean(0).numpy()
            by_row["margin"][part] = (true[..., 0] - others.amax(-1)).mean(0).numpy()
            by_row["entropy"][part] = torch.special.entr(found).sum(-1).mean(0).numpy()
            by_row["correct"][part] = (predicted == truth).double().mean(0).numpy()
            mass.index_add_(0, truth, found.mean(0))
            pairs = (truth * categories + predicted).flatten()
            confusion += torch.bincount(pairs, minlength=categories**2).view(categories, categories) / views
        sizes = torch.bincount(labels, minlength=categories)
        create("mean_probability", (categories, categories), "<f8")[:] = (mass / sizes[:, None]).numpy()
        create("confusion", (categories, categories), "<f8")[:] = confusion.numpy()
        create("accuracy", (categories,), "<f8")[:] = (confusion.diagonal() / sizes).numpy()
        create("rows", (categories,), "<i8")[:] = sizes.numpy()

    return store.get(key, make)
