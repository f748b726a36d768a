"""Arrays of a Python user, kept where commands and workers look for data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selkd import data
from selkd.config import Workspace
from selkd.data import Dataset


def from_arrays(
    train: tuple[Any, Any],
    test: tuple[Any, Any] | None = None,
    *,
    categories: Sequence[str],
    superclasses: Mapping[str, Sequence[str]] | None = None,
    name: str,
    root: Path | None = None,
) -> Dataset:
    """Keep (images, labels) as the source `arrays:NAME`; `root` is `data` in the workspace when absent.

    Images are [N, H, W] or [N, C, H, W] in 0 ... 255 or, floating, 0 ... 1; labels are ids of the categories.
    """
    root = root or Workspace.default().data
    return data.from_arrays(train, test, categories=categories, superclasses=superclasses, name=name, root=root)
