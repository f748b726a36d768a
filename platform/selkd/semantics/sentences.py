"""Semantics of names as a sentence-embedding model reads them; the model ships inside an optional package."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor

from selkd.errors import UserError
from selkd.semantics.base import Embedded, Embeddings, Labels, register
from selkd.semantics.names import words

PACKAGE, EXTRA = "wordllama", "sentences"
MODEL, TOKENIZER = "weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"


@register
class Sentences(Embedded):
    """Sentence embeddings of names, by a small model that the optional package wordllama brings along.

    A name is the mean of the vectors of its pieces: `cat` is near `kitten`, and far from `truck`. No network is asked.
    """

    name: ClassVar[str] = "sentences"

    def embed(self, labels: Labels) -> Embeddings:
        vectors, tokenizer = model()
        asked = [words(name) for name in (*labels.theirs, *labels.ours)]
        pieces = [found.ids for found in tokenizer.encode_batch(asked, add_special_tokens=False)]
        found = torch.stack([vectors[ids].double().mean(0) for ids in pieces])
        return found[: len(labels.theirs)], found[len(labels.theirs) :]


@cache
def model() -> tuple[Tensor, Any]:
    """The vectors [pieces, d] of the package's model, and its tokenizer; the package itself is not run."""
    package = find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations or find_spec("tokenizers") is None:
        raise UserError(
            f"semantics.source 'sentences' needs the optional package {PACKAGE}, which holds its model. Install it "
            f"with `pip install 'selkd[{EXTRA}]'`, or choose another semantics.source."
        )
    folder = Path(package.submodule_search_locations[0])
    read = import_module("tokenizers").Tokenizer.from_file
    try:
        return load_file(folder / MODEL)["embedding.weight"], read(str(folder / TOKENIZER))
    except Exception as error:
        raise UserError(
            f"semantics.source 'sentences': the model is not where {PACKAGE} 0.4 keeps it ({error}). Install the "
            f"version that was tested: `pip install 'selkd[{EXTRA}]'`."
        ) from None
