"""Random numbers without state: every draw is a function of (seed, step, row, stream), on any device and any worker.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) enciphers the counter
(block, step, row) under a key made from seed and stream; each block gives four words of 32 bits. Integer arithmetic
alone, so the bits are the same everywhere.
"""

import functools
import hashlib

import numpy as np
import torch
from scipy import special
from torch import Tensor

MASK = 0xFFFFFFFF
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)


def philox(counters: Tensor, key: tuple[int, int]) -> Tensor:
    """Encipher `counters` [4, ...], int64 that hold 32-bit words, under a key of two words."""
    a, b, c, d = counters
    for turn in range(ROUNDS):
        first, second = ((word + turn * step) & MASK for word, step in zip(key, KEY_STEPS, strict=True))
        left, right = a * MULTIPLIERS[0], c * MULTIPLIERS[1]  # wrap at 64 bits, which keeps both halves
        a = (right >> 32).bitwise_and_(MASK).bitwise_xor_(b).bitwise_xor_(first)
        c = (left >> 32).bitwise_and_(MASK).bitwise_xor_(d).bitwise_xor_(second)
        b, d = right.bitwise_and_(MASK), left.bitwise_and_(MASK)
    return torch.stack((a, b, c, d))


def words(seed: int, step: int | Tensor, rows: Tensor, stream: str, count: int = 1) -> Tensor:
    """Independent words [B, count], uniform on the integers below 2^32; `step` is one for all rows or one a row."""
    blocks = -(-count // 4)
    rows = rows.to(torch.int64)
    counters = rows.new_empty(4, len(rows), blocks)
    counters[0] = torch.arange(blocks, device=rows.device)
    counters[1] = step.to(rows.device, torch.int64).view(-1, 1) & MASK if isinstance(step, Tensor) else step & MASK
    counters[2] = (rows & MASK)[:, None]
    counters[3] = (rows >> 32 & MASK)[:, None]
    drawn = philox(counters, _stream_key(seed, stream))
    return drawn.permute(1, 2, 0).reshape(len(rows), 4 * blocks)[:, :count]


def uniform(
    seed: int, step: int | Tensor, rows: Tensor, stream: str, count: int = 1, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Numbers [B, count] in [0, 1): 24 random bits in float32, 53 in float64."""
    if dtype == torch.float64:
        high, low = words(seed, step, rows, stream, 2 * count).view(len(rows), count, 2).unbind(-1)
        return ((high >> 5 << 26) + (low >> 6)).to(dtype) * 2.0**-53
    assert dtype == torch.float32, "narrower numbers would round up to 1"
    return (words(seed, step, rows, stream, count) >> 8).to(dtype) * 2.0**-24


def integers(seed: int, step: int | Tensor, rows: Tensor, stream: str, count: int = 1, *, high: int | Tensor) -> Tensor:
    """Integers [B, count] from 0 to `high` - 1, `high` at most 2^31, one for all or one a draw."""
    return below(words(seed, step, rows, stream, count), high)


def below(drawn: Tensor, high: int | Tensor) -> Tensor:
    """Map words to 0 ... `high` - 1 by multiplication (Lemire 2019); no value's chance is off by more than 2^-32."""
    return drawn * high >> 32


def permutation(seed: int, step: int, n: int, stream: str, device: torch.device | str = "cpu") -> Tensor:
    """A random order of 0 ... n - 1: the ranks of 63 random bits a row."""
    high, low = words(seed, step, torch.arange(n, device=device), stream, 2).unbind(1)
    return ((high << 31) + (low >> 1)).argsort(stable=True)


def beta(seed: int, step: int | Tensor, rows: Tensor, stream: str, *, alpha: float) -> Tensor:
    """Symmetric Beta(alpha, alpha) draws [B, 1] in float64, by the inverse distribution function on the CPU."""
    levels = uniform(seed, step, rows, stream, dtype=torch.float64)
    drawn = np.asarray(special.betaincinv(alpha, alpha, levels.cpu().numpy()))
    return torch.from_numpy(drawn).to(rows.device)


@functools.lru_cache(maxsize=4096)
def _stream_key(seed: int, stream: str) -> tuple[int, int]:
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")
