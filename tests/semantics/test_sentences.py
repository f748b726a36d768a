"""Sentence embeddings of names: what the packaged model knows, and what is said where the package is missing."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from selkd.errors import UserError
from selkd.semantics import SEMANTICS, Costs, Labels, sentences

installed = pytest.mark.skipif(find_spec("wordllama") is None, reason="the extra `sentences` is not installed")
NAMES = ("cat", "Ankle boot", "T-shirt/top", "猫", "+", "zxqj")


@pytest.fixture(autouse=True)
def _unread() -> None:
    sentences.model.cache_clear()


def costs(theirs: tuple[str, ...], ours: tuple[str, ...], **settings: str) -> Costs:
    cls = SEMANTICS["sentences"]
    return cls(cls.Settings(**settings)).costs(Labels("t", theirs, ours))


@installed
def test_names_of_one_meaning_are_near_however_they_are_spelt() -> None:
    kitten, truck = costs(("cat",), ("kitten", "truck")).between[0]
    assert kitten < 0.6
    assert truck > 0.8
    for name, near, far in (("lorry", "truck", "rose"), ("physician", "doctor", "train"), ("Sneaker", "shoe", "bag")):
        assert costs((name,), (near, far)).between[0].argmin() == 0, name


@installed
def test_case_and_signs_mean_nothing() -> None:
    assert costs(("ANKLE_BOOT",), ("Ankle boot",)).between.abs().max() < 1e-12


@installed
def test_a_name_means_the_same_beside_any_others() -> None:
    alone = torch.cat([costs((name,), ("dog", "boot")).between for name in NAMES])
    assert torch.equal(costs(NAMES, ("dog", "boot")).between, alone)


@installed
def test_embeddings_are_those_of_the_package_itself(tmp_path: Path) -> None:
    """The package finds its own files where its folder is given for a cache; it may not ask the network."""
    code = (
        "import json, pathlib, sys, wordllama\n"
        "own = pathlib.Path(wordllama.__file__).parent\n"
        "model = wordllama.WordLlama.load(cache_dir=own, disable_download=True)\n"
        "print(json.dumps(model.embed(json.loads(sys.argv[1])).tolist()))"
    )
    asked = [sys.executable, "-c", code, json.dumps([sentences.words(name) for name in NAMES])]
    told = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=tmp_path)
    expected = torch.tensor(json.loads(told.stdout), dtype=torch.float64)
    found, _ = SEMANTICS["sentences"](SEMANTICS["sentences"].Settings()).embed(Labels("t", NAMES, ("cat",)))  # pyright: ignore[reportAttributeAccessIssue]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("missing", ["wordllama", "tokenizers"])
def test_a_missing_package_is_told_of_with_the_extra_that_brings_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=r"'sentences' needs the optional package wordllama.*selkd\[sentences\]"):
        costs(("cat",), ("dog",))


def test_another_layout_of_the_package_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wordllama", "tokenizers"):
        (tmp_path / name).mkdir()
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "wordllama" / "__init__.py").touch()
    (tmp_path / "tokenizers" / "__init__.py").write_text("class Tokenizer:\n    from_file = str\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"the model is not where wordllama 0\.4 keeps it"):
        costs(("cat",), ("dog",))
    monkeypatch.delitem(sys.modules, "tokenizers", raising=False)
