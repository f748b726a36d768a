"""What every registered source of label semantics must satisfy."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from selkd.errors import UserError
from selkd.semantics import SEMANTICS, Costs, Labels, Semantics

THEIRS, OURS = ("cat", "truck", "trout", "ship"), ("trout", "cat", "rose")
PLACES = {"cat": "animal/mammal", "trout": "animal/fish", "truck": "thing", "ship": "thing", "rose": "plant"}
installed = pytest.mark.skipif(find_spec("wordllama") is None, reason="the extra `sentences` is not installed")
EVERY = [pytest.param(name, marks=installed) if name == "sentences" else name for name in sorted(SEMANTICS)]


def seen(names: tuple[str, ...], seed: int = 0) -> Tensor:
    """An embedding of each name, whatever its place in the list."""
    made = [torch.randn(5, generator=torch.Generator().manual_seed(seed + sum(map(ord, name)))) for name in names]
    return torch.stack(made).double()


def labels(theirs: tuple[str, ...] = THEIRS, ours: tuple[str, ...] = OURS) -> Labels:
    return Labels("t", theirs, ours, lambda encoder, rows: (seen(theirs), seen(ours)), lambda rows: (
        seen(theirs, 7), seen(ours)
    ))  # fmt: skip


@pytest.fixture
def make(tmp_path: Path) -> Any:
    names = sorted(PLACES)
    (tmp_path / "places.json").write_text(json.dumps(PLACES))
    vectors = "\n".join(",".join([name, *map(str, seen((name,))[0].tolist())]) for name in names)
    (tmp_path / "vectors.csv").write_text(vectors)
    table = [[abs(ord(a[0]) - ord(b[0])) / 4 for b in names] for a in names]
    lines = [",".join([name, *map(str, row)]) for name, row in zip(names, table, strict=True)]
    (tmp_path / "matrix.csv").write_text("\n".join([",".join(["", *names]), *lines]))
    settings: dict[str, dict[str, Any]] = {
        "vectors": {"file": tmp_path / "vectors.csv"},
        "hierarchy": {"file": tmp_path / "places.json"},
        "matrix": {"file": tmp_path / "matrix.csv"},
        "prototypes": {"encoder": "e"},
    }

    def made(name: str, **changes: Any) -> Semantics:
        cls = SEMANTICS[name]
        return cls(cls.Settings(**(settings.get(name, {}) | changes)))

    return made


def blocks(costs: Costs) -> list[Tensor]:
    assert costs.theirs is not None
    assert costs.ours is not None
    return [costs.between, costs.theirs, costs.ours]


@pytest.mark.parametrize("name", EVERY)
def test_costs_are_finite_not_negative_and_as_many_as_pairs(name: str, make: Any) -> None:
    found = blocks(make(name).costs(labels()))
    assert [tuple(cost.shape) for cost in found] == [(4, 3), (4, 4), (3, 3)]
    assert all(cost.isfinite().all() and (cost >= 0).all() and cost.dtype == torch.float64 for cost in found)


@pytest.mark.parametrize("name", EVERY)
def test_within_a_list_a_category_costs_nothing_itself_and_costs_are_symmetric(name: str, make: Any) -> None:
    for cost in blocks(make(name).costs(labels()))[1:]:
        assert cost.diagonal().abs().max() < 1e-12
        torch.testing.assert_close(cost, cost.T)


@pytest.mark.parametrize("name", EVERY)
def test_the_order_of_categories_decides_nothing(name: str, make: Any) -> None:
    source, order = make(name), [2, 0, 3, 1]
    theirs = tuple(THEIRS[i] for i in order)
    torch.testing.assert_close(source.costs(labels(theirs)).between, source.costs(labels()).between[order])


@pytest.mark.parametrize("name", [one for one in EVERY if one != "classifier-rows"])
def test_the_same_category_is_the_nearest(name: str, make: Any) -> None:
    """Not for classifier rows: a row is no mean of features."""
    between = make(name).costs(labels()).between
    for k, category in enumerate(THEIRS):
        if category in OURS:
            assert between[k].argmin() == OURS.index(category)


@pytest.mark.parametrize("name", ["names", "vectors", "prototypes", "classifier-rows"])
def test_cosine_and_squared_distance_agree_on_unit_vectors(name: str, make: Any) -> None:
    """|a - b|^2 = 2 (1 - cos) there; only classifier rows are of length one by themselves."""
    cosine, squared = (make(name, cost=kind).costs(labels()).between for kind in ("cosine", "squared"))
    if name == "classifier-rows":
        torch.testing.assert_close(squared, 2 * cosine)
    assert not torch.equal(cosine, squared)


def test_another_unit_divides_all_costs(make: Any) -> None:
    costs = make("names").costs(labels())
    for scaled, cost in zip(blocks(costs.over(4.0)), blocks(costs), strict=True):
        torch.testing.assert_close(scaled, cost / 4)


@pytest.mark.parametrize("name", ["vectors", "hierarchy", "matrix"])
def test_every_missing_name_is_listed(name: str, make: Any) -> None:
    with pytest.raises(UserError, match=r"'t'.*lily, oak\. Complete it"):
        make(name).costs(labels(("cat", "lily", "oak")))
    with pytest.raises(UserError, match=r"lily\. Complete it"):
        make(name).costs(labels(ours=("cat", "lily")))
