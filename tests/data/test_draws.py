"""Counter-based draws: the published generator, uniform, independent, and a function of their arguments alone."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from selkd.data import draws

torch.set_num_threads(1)

ROWS = torch.arange(20_000)
WORD = 2**32 - 1
IMPLAUSIBLE = 1e-4


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((WORD,) * 4, (WORD,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_generator_gives_the_known_answers_published_with_philox_4x32_10(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    assert tuple(draws.philox(torch.tensor(counter), key).tolist()) == expected


def test_batched_words_equal_a_scalar_reference_in_python_integers() -> None:
    rows, step = torch.tensor([0, 7, 2**31, 2**40 + 3, -1]), 11
    drawn = draws.philox(_counters(rows, step), (1, 2))
    for column, row in enumerate(rows.tolist()):
        reference = _scalar_philox([0, step, row & WORD, row >> 32 & WORD], (1, 2))
        assert drawn[:, column].tolist() == reference


def test_draws_stay_what_they_were_so_that_old_runs_can_be_repeated() -> None:
    drawn = draws.words(0, 1, torch.tensor([2]), "golden", 5)[0].tolist()
    assert drawn == [0x0D8A5982, 0xFFF7E0F6, 0x9181A975, 0x8BEA8693, 0x4B8EF3BC]
    assert draws.permutation(0, 1, 8, "golden").tolist() == [2, 1, 0, 3, 7, 4, 5, 6]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, -5])
def test_numbers_are_uniform_below_one(seed: int, dtype: torch.dtype) -> None:
    drawn = draws.uniform(seed, 3, ROWS, "test", 5, dtype=dtype).flatten()
    assert drawn.dtype == dtype
    assert 0 <= float(drawn.min()) < float(drawn.max()) < 1
    bins = torch.histc(drawn.float(), 100, 0, 1).numpy()
    assert stats.chisquare(bins).pvalue > IMPLAUSIBLE
    assert stats.kstest(drawn.numpy(), "uniform").pvalue > IMPLAUSIBLE


def test_largest_word_stays_below_one() -> None:
    largest = torch.tensor([WORD])
    assert float((largest >> 8).to(torch.float32) * 2.0**-24) < 1
    assert float(((largest >> 5 << 26) + (largest >> 6)).double() * 2.0**-53) < 1


def test_every_bit_of_a_word_is_a_fair_coin() -> None:
    drawn = draws.words(4, 0, ROWS, "bits", 8).flatten()
    ones = torch.stack([(drawn >> bit & 1).sum() for bit in range(32)]).double()
    deviations = (ones - len(drawn) / 2) / math.sqrt(len(drawn) / 4)
    assert float(deviations.abs().max()) < 5


NEIGHBOURS: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
    "rows": lambda: (_line(rows=ROWS), _line(rows=ROWS + 1)),
    "rows one bit apart": lambda: (_line(rows=ROWS), _line(rows=ROWS ^ 1024)),
    "rows beyond 32 bits": lambda: (_line(rows=ROWS), _line(rows=ROWS + 2**32)),
    "steps": lambda: (_line(step=8), _line(step=9)),
    "steps and rows exchanged": lambda: (_line(step=3), _line(rows=torch.full_like(ROWS, 3), step=ROWS)),
    "seeds": lambda: (_line(seed=0), _line(seed=1)),
    "streams": lambda: (_line(stream="crop"), _line(stream="flip")),
    "numbers of a row": lambda: (_line(count=2)[:, 0], _line(count=2)[:, 1]),
    "blocks of a row": lambda: (_line(count=5)[:, 0], _line(count=5)[:, 4]),
}


@pytest.mark.parametrize("pair", NEIGHBOURS)
def test_neighbouring_draws_are_independent(pair: str) -> None:
    left, right = (drawn.squeeze(-1).numpy() for drawn in NEIGHBOURS[pair]())
    assert abs(np.corrcoef(left, right)[0, 1]) < 4 / math.sqrt(len(left))
    table = np.histogram2d(left, right, bins=16, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(table.flatten()).pvalue > IMPLAUSIBLE


def test_one_changed_bit_of_row_or_step_changes_half_of_all_bits() -> None:
    rows = ROWS[:500]
    before = draws.words(0, 5, rows, "avalanche", 4)
    changed = [draws.words(0, 5, rows ^ (1 << bit), "avalanche", 4) for bit in range(40)]
    changed += [draws.words(0, 5 ^ (1 << bit), rows, "avalanche", 4) for bit in range(32)]
    for after in changed:
        share = float(np.bitwise_count((before ^ after).numpy()).mean() / 32)
        assert share == pytest.approx(0.5, abs=0.015)


def test_a_draw_depends_on_its_own_row_and_step_only() -> None:
    rows, steps = torch.tensor([9, 2, 9, 5]), torch.tensor([1, 2, 3, 4])
    together = draws.uniform(7, steps, rows, "own", 6)
    for i in range(4):
        alone = draws.uniform(7, int(steps[i]), rows[i : i + 1], "own", 6)
        assert torch.equal(together[i], alone[0])
    assert torch.equal(draws.uniform(7, steps, rows, "own", 9)[:, :6], together)
    assert not torch.equal(together[0], together[2])


@pytest.mark.parametrize("count", [1, 4, 5])
def test_no_rows_draw_nothing(count: int) -> None:
    none = torch.empty(0, dtype=torch.int64)
    assert draws.uniform(0, 0, none, "none", count).shape == (0, count)
    assert draws.uniform(0, none, none, "none", count, dtype=torch.float64).shape == (0, count)
    assert draws.beta(0, 0, none, "none", alpha=1).shape == (0, 1)
    assert draws.permutation(0, 0, 0, "none").shape == (0,)


@pytest.mark.parametrize("high", [1, 2, 9, 100, 2**31])
def test_integers_are_uniform_below_their_bound(high: int) -> None:
    drawn = draws.integers(1, 0, ROWS, "integers", 2, high=high).flatten()
    assert 0 <= int(drawn.min()) <= int(drawn.max()) < high
    bins = torch.bincount(drawn * min(high, 100) // high, minlength=min(high, 100)).numpy()
    assert high == 1 or stats.chisquare(bins).pvalue > IMPLAUSIBLE


def test_integers_may_have_a_bound_each() -> None:
    bounds = ROWS[:, None] % 7 + 1
    drawn = draws.integers(1, 0, ROWS, "bounds", high=bounds)
    assert bool((drawn < bounds).all())
    assert int(drawn.max()) == 6


def test_permutations_hold_every_position_once_and_are_pure() -> None:
    order = draws.permutation(3, 4, 1000, "order")
    assert torch.equal(order.sort().values, torch.arange(1000))
    assert torch.equal(order, draws.permutation(3, 4, 1000, "order"))
    assert not torch.equal(order, draws.permutation(3, 5, 1000, "order"))
    assert not torch.equal(order, draws.permutation(4, 4, 1000, "order"))


def test_every_order_of_four_is_equally_likely() -> None:
    orders = [tuple(draws.permutation(0, step, 4, "four").tolist()) for step in range(2400)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > IMPLAUSIBLE


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_beta_draws_follow_their_distribution(alpha: float) -> None:
    drawn = draws.beta(0, 1, ROWS, "beta", alpha=alpha)
    assert drawn.shape == (len(ROWS), 1)
    assert drawn.dtype == torch.float64
    assert stats.kstest(drawn[:, 0].numpy(), stats.beta(alpha, alpha).cdf).pvalue > IMPLAUSIBLE


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cpu_and_cuda_draw_the_same_bits() -> None:
    there = ROWS.cuda()
    for count in (1, 7):
        for dtype in (torch.float32, torch.float64):
            here = draws.uniform(2, 3, ROWS, "device", count, dtype=dtype)
            assert torch.equal(here, draws.uniform(2, 3, there, "device", count, dtype=dtype).cpu())
    assert torch.equal(draws.beta(2, 3, ROWS, "b", alpha=0.2), draws.beta(2, 3, there, "b", alpha=0.2).cpu())
    assert torch.equal(draws.permutation(2, 3, 999, "p"), draws.permutation(2, 3, 999, "p", "cuda").cpu())


def _line(
    seed: int = 0, step: int | Tensor = 0, rows: Tensor = ROWS, stream: str = "neighbours", count: int = 1
) -> Tensor:
    return draws.uniform(seed, step, rows, stream, count)


def _counters(rows: Tensor, step: int) -> Tensor:
    return torch.stack((torch.zeros_like(rows), torch.full_like(rows, step), rows & WORD, rows >> 32 & WORD))


def _scalar_philox(counter: list[int], key: tuple[int, int]) -> list[int]:
    (a, b, c, d), (j, k) = counter, key
    for _ in range(10):
        left, right = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (right >> 32) ^ b ^ j, right & WORD, (left >> 32) ^ d ^ k, left & WORD
        j, k = (j + 0x9E3779B9) & WORD, (k + 0xBB67AE85) & WORD
    return [a, b, c, d]
