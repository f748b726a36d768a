"""What others may hand us: weights, configurations, spaces, jobs, data, records, names. Nothing of it runs.

docs/security.md has the whole list; the last test here sees that every test it names is there.
"""

import gzip
import io
import json
import os
import pickle
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from selkd.cluster.job import Job
from selkd.comparison import frames, records
from selkd.config import RunConfig, Workspace, read
from selkd.data import load
from selkd.data.sources import originals
from selkd.errors import UserError
from selkd.files import read_json
from selkd.models.teachers import TeacherRepository
from selkd.models.weights import read_weights
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.studies import Study

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "platform" / "selkd"


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def laughs() -> str:
    """A small file that unfolds to 10^9 words."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 9)]
    return "\n".join(lines)


READERS: dict[str, Callable[[Path], Any]] = {
    "run": RunConfig.read,
    "space": SearchSpace.read,
    "job": Job.read,
    "space in a tracking server": records._space,
}
BOMBS = {
    "aliases": laughs(),
    "depth": "a: " + "[" * 100_000,
    "size": "a: " + "x" * (1 << 21),
    "tag": "!!python/object/apply:os.mkdir [ran]",
    "key of keys": "? {a: b}\n: c",
    "digits": "retries: " + "9" * 5000,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_yaml_bombs_are_refused_by_every_reader(tmp_path: Path, reader: str, bomb: str) -> None:
    path = tmp_path / "given.yaml"
    path.write_text(BOMBS[bomb])
    with pytest.raises(UserError, match=r"given\.yaml"):
        READERS[reader](path)
    assert not Path("ran").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "\x00", "[1, 2", "\ud800"])
def test_json_bombs_are_refused_by_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(UserError, match=r"card\.json"):
        read_json(path)


def test_values_of_a_tracking_server_are_words_when_they_are_no_values() -> None:
    for text in ("[" * 100_000, "9" * 5000, "NaN"):
        assert frames._value(text) == text


@pytest.mark.parametrize("ending", ["pth", "pt", "bin", "safetensors"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "in a state dict"])
def test_pickles_of_weights_run_nothing(tmp_path: Path, ending: str, wrapped: bool) -> None:
    path, mark = tmp_path / f"weights.{ending}", tmp_path / "ran"
    trap: Any = {"state_dict": {"layer.weight": Trap(mark)}} if wrapped else Trap(mark)
    torch.save(trap, path)
    with pytest.raises(UserError, match="weights"):
        read_weights(path)
    path.write_bytes(pickle.dumps(trap))
    with pytest.raises(UserError, match="weights"):
        read_weights(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 200_000_000) + b"{" * 64,
        struct.pack("<Q", 64) + b"[" * 64,
        struct.pack("<Q", 2) + b"{}" + b"rest",
    ],
    ids=["larger than any file", "larger than the limit", "no mapping", "less than the file"],
)
def test_headers_of_weights_that_lie_are_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(header)
    with pytest.raises(UserError, match="weights"):
        read_weights(path)


def test_weights_that_promise_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(UserError, match="damaged"):
        read_weights(path)


def test_arrays_are_read_without_pickles() -> None:
    """numpy's files may hold objects; every place that loads one says that they may not."""
    for path in PACKAGE.rglob("*.py"):
        for call in re.findall(r"np\.load\(.*", path.read_text()):
            assert "allow_pickle=False" in call, path


def test_no_command_loads_exported_programs() -> None:
    """torch.export.load unpickles, so only what was just written here is read so."""
    loads = re.compile(r"load_exported\(|export\.load\(")
    assert [path.name for path in PACKAGE.rglob("*.py") if loads.search(path.read_text())] == ["deploy.py"]


HOSTILE = ["../../etc", "/etc/passwd", "..", ".", "", "a/b", "a\\b/..", "a\0b", "~root", "-rf", "a\nb", "x" * 300]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_lead_out_of_no_folder(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path / "workspace")
    refused = [
        lambda: RunConfig.model_validate({"name": name}),
        lambda: Job.of({"name": name, "what": ["doctor"]}),
        lambda: SearchSpace.of({"name": name, "search": {"seed": {"choice": [1]}}, "metrics": "validation/accuracy"}),
        lambda: TeacherRepository(workspace.teachers).load(name),
        lambda: load(f"arrays:{name}", root=workspace.data),
        lambda: Study.read(name, workspace),
    ]
    for read_it in refused:
        with pytest.raises(ValueError, match=r"."):
            read_it()
    assert not workspace.root.exists() or not list(workspace.root.rglob("passwd*"))


def test_archives_are_read_member_by_member_and_never_unpacked(tmp_path: Path) -> None:
    """A path that leads out of the archive's folder has no effect: nothing of an archive is written to disk."""
    path = tmp_path / "in" / "archive.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for name in ("../escaped", "/absolute", "folder/wanted"):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("folder/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    before = set(tmp_path.rglob("*"))
    assert originals._unpacked(path, ["folder/wanted"]) == {"folder/wanted": b"abc"}
    assert set(tmp_path.rglob("*")) == before
    for module in PACKAGE.rglob("*.py"):
        assert not re.search(r"extractall|unpack_archive|\.extract\(", module.read_text()), module


def test_archives_that_unfold_without_end_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(originals, "MOST", 1000)
    single, several = tmp_path / "images.gz", tmp_path / "archive.tar.gz"
    single.write_bytes(gzip.compress(bytes(1_000_000)))
    with tarfile.open(several, "w:gz") as archive:
        member = tarfile.TarInfo("images")
        member.size = 1_000_000
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    assert originals._content(single) == b""
    assert originals._unpacked(several, ["images"]) == {"images": b""}


def test_images_that_unfold_without_end_are_refused_by_name(tmp_path: Path) -> None:
    """A PNG of some bytes that says it is 60,000 pixels wide and high."""
    for category in ("cat", "dog"):
        (tmp_path / "photos" / category).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "photos" / category / "a.png")
    path = tmp_path / "photos" / "cat" / "bomb.png"
    small = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(small, "png")
    content = bytearray(small.getvalue())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"bomb\.png"):
        load(f"imagefolder:{tmp_path / 'photos'}", root=tmp_path / "data", image_size=8)


def test_a_folder_of_images_reads_no_archive_or_pickle(tmp_path: Path) -> None:
    for category in ("cat", "dog"):
        (tmp_path / "photos" / category).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "photos" / category / "a.png")
    (tmp_path / "photos" / "cat" / "b.png").write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    with zipfile.ZipFile(tmp_path / "photos" / "dog" / "c.png", "w") as archive:
        archive.writestr("../../escaped.png", b"x")
    with pytest.raises(UserError, match=r"b\.png|c\.png"):
        load(f"imagefolder:{tmp_path / 'photos'}", root=tmp_path / "data", image_size=8)
    assert not (tmp_path / "ran").exists()


def test_a_configuration_runs_nothing_and_reads_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "hunter2")
    path = tmp_path / "run.yaml"
    path.write_text('experiment: "${PASSWORD} $PASSWORD {{ 7 * 7 }} $(id) `id`"\n')
    assert RunConfig.read(path).experiment == "${PASSWORD} $PASSWORD {{ 7 * 7 }} $(id) `id`"
    assert read(path) == {"experiment": "${PASSWORD} $PASSWORD {{ 7 * 7 }} $(id) `id`"}


def test_every_test_that_the_page_names_is_there() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    assert len(named) >= 30
    for file, name in named:
        assert re.search(rf"def {name}\(", (ROOT / file).read_text()), f"{file}::{name}"
