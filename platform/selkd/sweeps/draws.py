"""Random and quasi-random draws that are functions of their numbers: the same after any interruption."""

from collections.abc import Sequence
from typing import Literal
from zlib import crc32

import numpy as np


def stream(*words: int) -> int:
    """A 32-bit seed that is a function of these numbers."""
    return int(np.random.SeedSequence([word % 2**64 for word in words]).generate_state(1)[0])


def generator(key: str, *words: int) -> np.random.Generator:
    """A stream of random numbers for a key: other keys have others, whichever of them are drawn."""
    return np.random.default_rng(stream(crc32(key.encode()), *words))


def quasi_random(sequence: Literal["sobol", "halton"], keys: Sequence[str], index: int, seed: int) -> dict[str, float]:
    """The shares of point `index` of a scrambled sequence, one dimension a key.

    Optuna's own sampler keeps its place in the study and draws what its first trial lacked at random.
    """
    if not keys:
        return {}
    from scipy.stats import qmc

    engine = (qmc.Sobol if sequence == "sobol" else qmc.Halton)(len(keys), rng=np.random.default_rng(seed))
    if index:
        engine.fast_forward(index)
    shares = engine.random(1)[0]
    return {key: min(float(share), np.nextafter(1, 0)) for key, share in zip(keys, shares, strict=True)}
