"""The sources of data by name: one file a family."""

from pathlib import Path

from selkd.data.dataset import Dataset
from selkd.data.sources.arrays import named
from selkd.data.sources.cifar import CIFAR10, CIFAR100
from selkd.data.sources.digits import DIGITS
from selkd.data.sources.folder import image_folder
from selkd.data.sources.idx import FASHION_MNIST, MNIST
from selkd.data.sources.originals import Published
from selkd.errors import UserError, nearest

PUBLISHED: dict[str, Published] = {s.name: s for s in (DIGITS, FASHION_MNIST, MNIST, CIFAR10, CIFAR100)}
FOLDER, ARRAYS = "imagefolder", "arrays"


def names() -> list[str]:
    """The published sources; folders of images and kept arrays are beside them."""
    return list(PUBLISHED)


def describe(name: str) -> str:
    """What a published source holds, and how to get it."""
    source = PUBLISHED[name]
    return f"{source.about}. {source.remedy}"


def load(source: str, *, root: Path, image_size: int | None = None, memory_budget: int = 2 * 2**30) -> Dataset:
    """The data set `source`: a published name, `imagefolder:PATH` or `arrays:NAME`; its files are under `root`."""
    if image_size is not None and image_size < 1:
        raise UserError(f"image_size: {image_size} is no size. Give pixels of a side, 1 or more.")
    family, _, place = source.partition(":")
    if family == FOLDER and place:
        path = Path(place).expanduser().absolute()
        return image_folder(path, root=root, image_size=image_size, memory_budget=memory_budget)
    if family == ARRAYS and place:
        return named(place, root=root, image_size=image_size)
    if source not in PUBLISHED:
        raise UserError(
            f"source: {source!r} is unknown. {nearest(source, (*PUBLISHED, f'{FOLDER}:PATH', f'{ARRAYS}:NAME'))}"
        )
    return PUBLISHED[source].load(root, image_size)
