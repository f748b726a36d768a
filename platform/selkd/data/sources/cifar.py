"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): colour images of 32 x 32, read from the binary version.

A record is its labels, one byte each (CIFAR-100: superclass, then category), and 3 x 32 x 32 bytes of pixels.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from selkd.data.dataset import Rows
from selkd.data.rows import ArrayRows
from selkd.data.sources.originals import Download, Published
from selkd.errors import UserError

SHAPE = (3, 32, 32)
ADVICE = " (the binary version; the Python version holds pickles and is not read)"

SUPERCLASSES = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
FINE = tuple(sorted(name for members in SUPERCLASSES.values() for name in members))  # ids are alphabetical


def _read(source: Published, root: Path) -> Mapping[str, Rows]:
    contents = source.contents(root)
    label_bytes = 2 if source.superclasses else 1
    parts: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for name, content in contents.items():
        records = np.frombuffer(content, np.uint8).reshape(-1, label_bytes + int(np.prod(SHAPE)))
        if source.superclasses:
            _check_superclasses(source, name, records)
        parts["test" if name.startswith("test") else "train"].append(records)
    rows = {}
    for part, batches in parts.items():
        records = np.concatenate(batches)
        labels = torch.from_numpy(records[:, label_bytes - 1].astype(np.int64))
        rows[part] = ArrayRows(records[:, label_bytes:].reshape(-1, *SHAPE), labels)
    return rows


def _check_superclasses(source: Published, file: str, records: np.ndarray) -> None:
    """The file's superclass of every category must be the one that the table above says."""
    names = list(source.superclasses)
    for coarse, fine in np.unique(records[:, :2], axis=0).tolist():
        if source.categories[fine] not in source.superclasses[names[coarse]]:
            raise UserError(f"{source.name}: {file} puts {source.categories[fine]!r} into {names[coarse]!r}.")


CIFAR10 = Published(
    name="cifar10",
    about="60,000 photographs, colour, 32 x 32, 10 categories",
    categories=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    read=_read,
    checksums={
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    },
    archive="cifar-10-binary.tar.gz",
    folder="cifar-10-batches-bin",
    downloads=(
        Download(
            "cifar-10-binary.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    advice=ADVICE,
)

CIFAR100 = Published(
    name="cifar100",
    about="60,000 photographs, colour, 32 x 32, 100 categories in 20 superclasses",
    categories=FINE,
    superclasses=SUPERCLASSES,
    read=_read,
    checksums={
        "train.bin": "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
        "test.bin": "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
    },
    archive="cifar-100-binary.tar.gz",
    folder="cifar-100-binary",
    downloads=(
        Download(
            "cifar-100-binary.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
    ),
    advice=ADVICE,
)
