"""The sources of data by name: one file a family."""

from pathlib import Path

from selkd.data.dataset import Dataset
from selkd.data.sources.cifar import CIFAR10, CIFAR100
from selkd.data.sources.digits import DIGITS
from selkd.data.sources.folder import image_folder
from selkd.data.sources.idx import FASHION_MNIST, MNIST
from selkd.data.sources.originals import Published
from selkd.errors import UserError, nearest

PUBLISHED: dict[str, Published] = {s.name: s for s in (DIGITS, FASHION_MNIST, MNIST, CIFAR10, CIFAR100)}
FOLDER = "imagefolder"


def load(source: str, *, root: Path, image_size: int | None = None, memory_budget: int = 2 * 2**30) -> Dataset:
    """The data set that `source` names, or the images of `imagefolder:PATH`; files are looked for under `root`."""
    family, _, path = source.partition(":")
    if family == FOLDER and path:
        return image_folder(Path(path).expanduser(), root=root, image_size=image_size, memory_budget=memory_budget)
    if source not in PUBLISHED:
        raise UserError(f"source: {source!r} is unknown. {nearest(source, (*PUBLISHED, f'{FOLDER}:PATH'))}")
    return PUBLISHED[source].load(root, image_size)
