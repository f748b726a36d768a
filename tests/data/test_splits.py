"""Splits: stratified, disjoint, seeded, and the official test split stays what it is."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selkd.data import Dataset, Splits, split
from selkd.errors import UserError

Make = Callable[..., Dataset]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.integers(20, 60), min_size=1, max_size=6),
    validation=st.floats(0.05, 0.5),
    test=st.floats(0.05, 0.5),
    seed=st.integers(0, 2**40),
)
def test_parts_are_disjoint_cover_all_rows_and_keep_every_category_s_share(
    dataset: Make, rows: list[int], validation: float, test: float, seed: int
) -> None:
    data = dataset(rows)
    parts = split(data, validation=validation, test=test, seed=seed)
    together = torch.cat([parts.train.ids, parts.validation.ids, parts.test.ids])
    assert torch.equal(together.sort().values, torch.arange(sum(rows)))
    for category, count in enumerate(rows):
        tested = int((parts.test.labels == category).sum())
        validating = int((parts.validation.labels == category).sum())
        assert abs(tested - test * count) <= 0.5 + 1e-9
        assert abs(validating - validation * (count - tested)) <= 0.5 + 1e-9


def test_labels_and_pixels_of_a_part_are_those_of_its_rows(dataset: Make) -> None:
    data = dataset([30, 40])
    part = split(data, seed=3).validation
    assert torch.equal(part.labels, data.train.labels[part.ids])
    positions = torch.tensor([4, 0, 2])
    assert part.pixels(positions)[:, 0, 0, 0].tolist() == part.ids[positions].tolist()


def test_split_is_a_function_of_the_seed(dataset: Make) -> None:
    data = dataset([50, 60, 70])
    assert _ids(split(data, seed=1)) == _ids(split(data, seed=1))
    assert _ids(split(data, seed=1)) != _ids(split(data, seed=2))


def test_official_test_split_stays_the_test_split(dataset: Make) -> None:
    data = dataset([20, 20], test=[3, 4])
    parts = split(data, validation=0.25, test=0.9, seed=0)
    assert parts.test.rows is data.test
    assert parts.test.ids.tolist() == list(range(7))
    assert (len(parts.train), len(parts.validation)) == (30, 10)
    assert _ids(split(data, validation=0.25, test=0.1, seed=0)) == _ids(parts)


def test_growing_rows_per_category_nest_and_leave_validation_and_test_alone(dataset: Make) -> None:
    data = dataset([40, 60])
    whole = split(data, seed=5)
    smaller: set[int] = set()
    for rows in (1, 7, 20, 1000):
        parts = split(data, seed=5, rows_per_category=rows)
        chosen = set(parts.train.ids.tolist())
        assert smaller <= chosen
        counts = torch.bincount(whole.train.labels).clamp(max=rows)
        assert torch.equal(torch.bincount(parts.train.labels), counts)
        assert _ids(parts)[1:] == _ids(whole)[1:]
        smaller = chosen
    assert chosen == set(whole.train.ids.tolist())


def test_categories_with_fewer_rows_than_asked_are_named_with_their_rows(
    dataset: Make, caplog: pytest.LogCaptureFixture
) -> None:
    split(dataset([40, 20, 60]), seed=0, rows_per_category=14)
    assert caplog.messages == []
    parts = split(dataset([40, 20, 10]), seed=0, rows_per_category=20)
    assert torch.bincount(parts.train.labels).tolist() == [20, 14, 7]
    (line,) = caplog.messages
    assert "rows_per_category is 20" in line
    assert line.endswith("b: 14 rows, c: 7 rows")


def test_named_categories_alone_are_limited(dataset: Make) -> None:
    data = dataset([40, 40, 40])
    whole, limited = split(data, seed=2), split(data, seed=2, rows_per_category={data.categories[1]: 7})
    counts = torch.bincount(limited.train.labels, minlength=3).tolist()
    assert counts == [int((whole.train.labels == 0).sum()), 7, int((whole.train.labels == 2).sum())]
    assert _ids(limited)[1:] == _ids(whole)[1:]


@pytest.mark.parametrize(
    ("rows", "test", "shares", "message"),
    [
        ([10, 1], None, {}, "category 'b' has 1 rows, which leaves none for"),
        ([10, 0], None, {}, "category 'b' has 0 rows"),
        ([100, 4], None, {"validation": 0.05}, "category 'b' has 4 rows, which leaves none for validation"),
        ([10, 10], None, {"validation": 0.96}, "none for train"),
        ([10, 10], [3, 0], {}, "category 'b' has no rows in the test split"),
        ([10], None, {"validation": 0.0}, "validation: 0.0 is not a share"),
        ([10], None, {"validation": float("nan")}, "validation: nan is not a share"),
        ([10], None, {"test": 1.0}, "test: 1.0 is not a share"),
        ([10], None, {"rows_per_category": 0}, "rows_per_category: 0"),
        ([10, 10], None, {"rows_per_category": {"a": 0}}, "rows_per_category: 0"),
        ([10, 10], None, {"rows_per_category": {"z": 3}}, "no category .z."),
    ],
)
def test_a_category_absent_from_a_part_and_bad_shares_are_refused(
    dataset: Make, rows: list[int], test: list[int] | None, shares: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        split(dataset(rows, test), seed=0, **shares)


def test_moved_splits_share_rows_as_before(dataset: Make) -> None:
    parts = split(dataset([20, 20]), seed=0)
    moved = parts.to("cpu")
    assert moved.train.rows is moved.validation.rows is moved.test.rows
    assert _ids(moved) == _ids(parts)


@given(rows=st.integers(4, 60), outer=st.floats(0.2, 0.7), limit=st.integers(4, 60), fewer=st.integers(0, 20))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_outer_rows_leave_training_alone_and_nest_as_training_rows_do(
    dataset: Make, rows: int, outer: float, limit: int, fewer: int
) -> None:
    data = dataset([rows + 20, rows + 30])
    plain = split(data, seed=1, rows_per_category=limit)
    parts = split(data, seed=1, rows_per_category=limit, outer=outer)
    assert parts.outer is not None
    assert plain.outer is None
    together = torch.cat([parts.train.ids, parts.outer.ids]).sort().values
    assert torch.equal(together, plain.train.ids)
    assert (_ids(parts)[1:]) == (_ids(plain)[1:])
    for category in range(2):
        own = int((plain.train.labels == category).sum())
        assert abs(int((parts.outer.labels == category).sum()) - outer * own) <= 0.5 + 1e-9
    small = split(data, seed=1, rows_per_category=max(limit - fewer, 4), outer=outer)
    assert small.outer is not None
    assert set(small.outer.ids.tolist()) <= set(parts.outer.ids.tolist())
    assert set(small.train.ids.tolist()) <= set(parts.train.ids.tolist())


def test_outer_rows_that_others_use_are_refused(dataset: Make) -> None:
    parts = split(dataset([30, 30]), seed=0, outer=0.2)
    for name in ("train", "validation", "test"):
        with pytest.raises(UserError, match=f"outer part shares rows with the {name} part"):
            dataclasses.replace(parts, outer=getattr(parts, name))


@pytest.mark.parametrize(("outer", "told"), [(1.0, "not a share"), (-0.1, "not a share"), (0.001, "none for outer")])
def test_an_outer_share_that_leaves_a_category_without_rows_is_refused(dataset: Make, outer: float, told: str) -> None:
    with pytest.raises(UserError, match=told):
        split(dataset([30, 30]), seed=0, outer=outer)


def _ids(parts: Splits) -> tuple[list[int], ...]:
    return parts.train.ids.tolist(), parts.validation.ids.tolist(), parts.test.ids.tolist()
