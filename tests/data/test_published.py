"""Published data sets: digits, idx files and CIFAR's binary files, verified by content and mapped."""

import dataclasses
import gzip
import io
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from selkd.data import Dataset, load
from selkd.data.sources import PUBLISHED, digits, names
from selkd.data.sources.cifar import CIFAR10, CIFAR100
from selkd.data.sources.idx import FASHION_MNIST, MNIST
from selkd.data.sources.originals import Published
from selkd.errors import UserError

RANDOM = np.random.default_rng(0)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
Pixels = dict[str, tuple[np.ndarray, np.ndarray]]


def _idx(values: np.ndarray) -> bytes:
    sizes = np.array(values.shape, ">u4").tobytes()
    return bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()


def _mnist() -> tuple[Pixels, dict[str, bytes]]:
    """Generated rows, and the files of MNIST's format that hold them."""
    rows = {
        p: (RANDOM.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n) % 10) for p, n in (("train", 30), ("test", 20))
    }
    contents = {}
    for (images, labels), stem in zip(rows.values(), ("train", "t10k"), strict=True):
        contents |= {f"{stem}-images-idx3-ubyte": _idx(images), f"{stem}-labels-idx1-ubyte": _idx(labels)}
    return {p: (images[:, None], labels) for p, (images, labels) in rows.items()}, contents


def _cifar(source: Published) -> tuple[Pixels, dict[str, bytes]]:
    """Generated rows, and the files of CIFAR's binary format that hold them."""
    coarse = {fine: i for i, members in enumerate(source.superclasses.values()) for fine in members}
    contents: dict[str, bytes] = {}
    rows: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"train": [], "test": []}
    for name in source.checksums:
        images = RANDOM.integers(0, 256, (200, 3, 32, 32), np.uint8)
        labels = RANDOM.permutation(200) % len(source.categories)
        columns = [labels] if not coarse else [np.array([coarse[source.categories[i]] for i in labels]), labels]
        records = np.concatenate([np.stack(columns, 1), images.reshape(200, -1)], axis=1)
        contents[name] = records.astype(np.uint8).tobytes()
        rows["test" if "test" in name else "train"].append((images, labels))
    joined = {p: [np.concatenate(column) for column in zip(*own, strict=True)] for p, own in rows.items()}
    return {p: (images, labels) for p, (images, labels) in joined.items()}, contents


def _like(source: Published, contents: dict[str, bytes]) -> Published:
    """The same source, published with other content and found nowhere else."""
    checksums = {name: sha256(content).hexdigest() for name, content in contents.items()}
    return dataclasses.replace(source, checksums=checksums, elsewhere=())


def _write(folder: Path, contents: dict[str, bytes], compress: bool = False) -> None:
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / f"{name}{'.gz' if compress else ''}").write_bytes(gzip.compress(content) if compress else content)


def _write_archive(path: Path, folder: str, contents: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"readme.html": b"<html>", **contents}.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _holds(data: Dataset, rows: Pixels) -> bool:
    parts = {"train": data.train, "test": data.test}
    return all(
        part is not None
        and np.array_equal(part.pixels(torch.arange(len(part))).numpy(), images)
        and part.labels.tolist() == labels.tolist()
        for (images, labels), part in zip(rows.values(), parts.values(), strict=True)
    )


@pytest.mark.parametrize("compress", [True, False])
def test_idx_files_are_read_compressed_or_not(tmp_path: Path, compress: bool) -> None:
    rows, contents = _mnist()
    _write(tmp_path / "mnist", contents, compress)
    data = _like(MNIST, contents).load(tmp_path, None)
    assert _holds(data, rows)
    assert data.categories[3] == "three"


@pytest.mark.parametrize("source", [CIFAR10, CIFAR100], ids=lambda s: s.name)
@pytest.mark.parametrize("archived", [True, False])
def test_cifar_is_read_from_its_archive_or_its_folder(tmp_path: Path, source: Published, archived: bool) -> None:
    rows, contents = _cifar(source)
    place = tmp_path / source.name
    if archived:
        _write_archive(place / str(source.archive), source.folder, contents)
    else:
        _write(place / source.folder, contents)
    data = _like(source, contents).load(tmp_path, None)
    assert _holds(data, rows)
    assert data.train.shape == (3, 32, 32)


def test_cifar100_names_its_categories_alphabetically_in_twenty_superclasses_of_five() -> None:
    assert list(CIFAR100.categories) == sorted(CIFAR100.categories)
    assert (len(CIFAR100.categories), len(CIFAR100.superclasses)) == (100, 20)
    members = [m for superclass in CIFAR100.superclasses.values() for m in superclass]
    assert sorted(members) == list(CIFAR100.categories)
    assert {len(m) for m in CIFAR100.superclasses.values()} == {5}
    assert [CIFAR100.categories[i] for i in (0, 39, 99)] == ["apple", "keyboard", "worm"]


def test_cifar100_file_with_other_superclasses_is_refused(tmp_path: Path) -> None:
    _, contents = _cifar(CIFAR100)
    records = np.frombuffer(contents["test.bin"], np.uint8).reshape(200, -1).copy()
    records[7, 0] = (records[7, 0] + 1) % 20
    contents["test.bin"] = records.tobytes()
    _write(tmp_path / "cifar100" / CIFAR100.folder, contents)
    wrong = CIFAR100.categories[records[7, 1]]
    with pytest.raises(UserError, match=f"test.bin puts '{wrong}' into"):
        _like(CIFAR100, contents).load(tmp_path, None)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("harm", [_cut, _flip, lambda _: b""], ids=["truncated", "corrupt", "empty"])
@pytest.mark.parametrize("compress", [True, False])
def test_damaged_idx_file_is_refused_by_name(tmp_path: Path, harm: Callable[[bytes], bytes], compress: bool) -> None:
    _, contents = _mnist()
    _write(tmp_path / "mnist", contents, compress)
    damaged = next(file for file in (tmp_path / "mnist").iterdir() if "t10k-images" in file.name)
    damaged.write_bytes(harm(damaged.read_bytes()))
    with pytest.raises(UserError, match=f"{damaged} is truncated or corrupt.*selkd data fetch mnist"):
        _like(MNIST, contents).load(tmp_path, None)
    assert not list((tmp_path / "mapped").glob("[!.]*"))


@pytest.mark.parametrize("harm", [_cut, _flip, lambda _: b""], ids=["truncated", "corrupt", "empty"])
def test_damaged_cifar_archive_is_refused_by_name(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    _, contents = _cifar(CIFAR10)
    archive = tmp_path / "cifar10" / str(CIFAR10.archive)
    _write_archive(archive, CIFAR10.folder, contents)
    archive.write_bytes(harm(archive.read_bytes()))
    with pytest.raises(UserError, match=f"{archive}: .*bin is truncated or corrupt"):
        _like(CIFAR10, contents).load(tmp_path, None)


def test_generated_files_are_not_taken_for_the_published_ones(tmp_path: Path) -> None:
    _, contents = _mnist()
    _write(tmp_path / "mnist", contents)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte .*truncated or corrupt"):
        load("mnist", root=tmp_path)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_missing_files_are_named_with_place_and_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as refusal:
        load(name, root=tmp_path)
    for part in (*PUBLISHED[name].checksums, str(tmp_path / name), f"selkd data fetch {name}"):
        assert part in str(refusal.value)


def test_missing_fashion_mnist_names_the_debian_package_and_its_place(tmp_path: Path) -> None:
    elsewhere = dataclasses.replace(FASHION_MNIST, elsewhere=(tmp_path / "system",))
    with pytest.raises(UserError, match=f"{tmp_path / 'system'}.*apt-get install dataset-fashion-mnist"):
        elsewhere.load(tmp_path, None)


def test_only_the_missing_file_is_named_where_others_are_present(tmp_path: Path) -> None:
    _, contents = _mnist()
    _write(tmp_path / "mnist", {k: v for k, v in contents.items() if k != "t10k-labels-idx1-ubyte"})
    with pytest.raises(UserError, match=r"files not found: t10k-labels-idx1-ubyte. Looked in"):
        _like(MNIST, contents).load(tmp_path, None)


def test_kept_arrays_need_the_files_no_more(tmp_path: Path) -> None:
    rows, contents = _mnist()
    source = _like(MNIST, contents)
    _write(tmp_path / "mnist", contents)
    first = source.load(tmp_path, None)
    for file in (tmp_path / "mnist").iterdir():
        file.unlink()
    again = source.load(tmp_path, None)
    assert _holds(again, rows)
    assert (again.fingerprint, again.mean, again.std) == (first.fingerprint, first.mean, first.std)


def test_image_size_scales_the_images_and_changes_the_fingerprint(tmp_path: Path) -> None:
    rows, contents = _mnist()
    flat = {
        "train-images-idx3-ubyte": _idx(np.full((30, 28, 28), 9)),
        "t10k-images-idx3-ubyte": _idx(np.full((20, 28, 28), 9)),
    }
    contents |= flat
    source = _like(MNIST, contents)
    _write(tmp_path / "mnist", contents)
    larger, plain = source.load(tmp_path, 32), source.load(tmp_path, None)
    assert larger.train.shape == (1, 32, 32)
    assert plain.train.shape == (1, 28, 28)
    assert bool((larger.train.pixels(torch.arange(30)) == 9).all())
    assert larger.train.labels.tolist() == rows["train"][1].tolist()
    assert larger.fingerprint != plain.fingerprint


def test_digits_are_scikit_learn_s_with_levels_up_to_255(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    data = load("digits", root=tmp_path)
    images, labels = load_digits(return_X_y=True)
    pixels = data.train.pixels(torch.arange(len(data.train))).reshape(-1, 64).numpy()
    assert np.abs(pixels / 255 - images / 16).max() <= 0.5 / 255
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert data.train.labels.tolist() == labels.tolist()
    assert (data.test, data.train.shape, len(data.categories)) == (None, (1, 8, 8), 10)
    assert data.categories[:3] == ("zero", "one", "two")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="the package dataset-fashion-mnist is not installed")
def test_fashion_mnist_of_the_debian_package_is_the_published_data_set(tmp_path: Path) -> None:
    data = load("fashion-mnist", root=tmp_path)
    assert data.test is not None
    assert (len(data.train), len(data.test), data.train.shape) == (60_000, 10_000, (1, 28, 28))
    assert torch.bincount(data.train.labels).tolist() == [6000] * 10
    assert torch.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.mean == pytest.approx([0.2860], abs=5e-5)
    assert data.std == pytest.approx([0.3530], abs=5e-5)
    assert data.categories[data.train.labels[0]] == "Ankle boot"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("fashion_mnist", "Did you mean 'fashion-mnist'"),
        ("imagefolder:", "'imagefolder:PATH'"),
        ("digits:x", "Did you mean 'digits'"),
    ],
)
def test_unknown_source_is_refused_with_the_nearest(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(source, root=tmp_path)


def test_impossible_image_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="image_size: 0"):
        load("digits", root=tmp_path, image_size=0)


def test_every_published_source_has_a_checksum_for_all_it_reads_and_downloads() -> None:
    for name in names():
        source = PUBLISHED[name]
        checksums = [*source.checksums.values(), *(d.checksum for d in source.downloads)]
        assert all(len(c) == 64 and int(c, 16) for c in checksums)
        assert len(set(checksums)) == len(checksums)
        assert len(set(source.categories)) == len(source.categories)


def test_digits_without_their_file_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "FILE", ("datasets", "data", "gone.csv.gz"))
    with pytest.raises(UserError, match=r"no file datasets/data/gone.csv.gz. Reinstall scikit-learn"):
        load("digits", root=tmp_path)
