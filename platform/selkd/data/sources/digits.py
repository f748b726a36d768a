"""Handwritten digits that ship with scikit-learn: 1,797 grey images of 8 x 8, the embedded default."""

from collections.abc import Mapping
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from selkd.data.dataset import Rows
from selkd.data.rows import ArrayRows
from selkd.data.sources.originals import Published
from selkd.errors import UserError

FILE = ("datasets", "data", "digits.csv.gz")
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _file() -> Path:
    """Where the installed package keeps them; importing it would take longer than reading the digits."""
    package = find_spec("sklearn")
    found = [Path(folder, *FILE) for folder in (package and package.submodule_search_locations) or ()]
    if not found or not found[0].is_file():
        raise UserError(f"digits: scikit-learn has no file {'/'.join(FILE)}. Reinstall scikit-learn.")
    return found[0]


def _read(source: Published, _: Path) -> Mapping[str, Rows]:
    table = np.loadtxt(_file(), delimiter=",", dtype=np.uint8)
    images, labels = table[:, :-1], table[:, -1].astype("<i8")
    if sha256(images.tobytes() + labels.tobytes()).hexdigest() != source.checksums["digits"]:
        raise UserError("digits: scikit-learn holds other data than expected. Reinstall scikit-learn.")
    images = (images.astype(np.float64) * (255 / 16)).round().astype(np.uint8)  # from 0 ... 16
    return {"train": ArrayRows(images.reshape(-1, 1, 8, 8), torch.from_numpy(labels))}


DIGITS = Published(
    name="digits",
    about="1,797 handwritten digits, grey, 8 x 8, 10 categories; no official test split",
    categories=NAMES,
    checksums={"digits": "65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5"},
    read=_read,
)
