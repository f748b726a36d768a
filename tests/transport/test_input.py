"""Bad input is refused by name and shape."""

import pytest
import torch

from selkd.transport import Partial, Rows, RowsAndColumns, ground_cost, solve, transport_distance

S = torch.zeros(4, 3)
B = torch.tensor([1.0, 1.0, 2.0])
NAN = torch.tensor([[float("nan"), 0.0]])


@pytest.mark.parametrize(
    ("scores", "constraint", "epsilon", "message"),
    [
        (NAN, Rows(), 1.0, r"scores \[1, 2\] must be finite"),
        (torch.tensor([[float("inf"), 0.0]]), Rows(), 1.0, "scores"),
        (torch.full((2, 2), -float("inf")), Rows(), 1.0, "scores"),
        (torch.zeros(0, 3), Rows(), 1.0, r"scores .* not \[0, 3\]"),
        (torch.zeros(2, 0), Rows(), 1.0, "scores"),
        (torch.zeros(3), Rows(), 1.0, "scores"),
        (S, Rows(), 0.0, "epsilon must be positive"),
        (S, Rows(), -1.0, "epsilon"),
        (S, Rows(), float("nan"), "epsilon"),
        (S, Rows(), torch.ones(2), r"epsilon \[2\]"),
        (S, Rows(torch.tensor([1.0, 1.0, 1.0, -1.0])), 1.0, r"row_mass \[4\] must be finite and not negative"),
        (S, Rows(torch.ones(3)), 1.0, r"row_mass \[3\] does not fit \[4\]"),
        (S, RowsAndColumns(torch.tensor([5.0, -1.0, 0.0])), 1.0, "col_mass"),
        (
            S,
            RowsAndColumns(torch.tensor([1.0, 1.0, 1.0])),
            1.0,
            r"col_mass \[3\] sums to 3.0, but row_mass \[4\] to 4.0",
        ),
        (S, RowsAndColumns(torch.zeros(3), torch.zeros(4)), 1.0, "positive"),
        (S, RowsAndColumns(torch.tensor([float("nan"), 2.0, 2.0])), 1.0, "col_mass"),
        (S, RowsAndColumns(torch.ones(5)), 1.0, r"col_mass \[5\]"),
        (S, Partial(4.5), 1.0, "mass 4.5 is above the total of 4 rows"),
        (S, Partial(-1.0), 1.0, "mass"),
        (S, Partial(float("nan")), 1.0, "mass"),
    ],
)
def test_impossible_problems_are_refused(scores, constraint, epsilon, message):
    with pytest.raises(ValueError, match=message):
        solve(scores, constraint, epsilon=epsilon)


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match=r"scores must be a floating-point tensor, not torch\.int64"):
        solve(torch.zeros(4, 3, dtype=torch.int64), Rows(), epsilon=1.0)
    with pytest.raises(TypeError, match="constraint must be Rows, RowsAndColumns or Partial, not str"):
        solve(S, "rows", epsilon=1.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="implicit or unrolled"):
        solve(S, Rows(), epsilon=1.0, differentiate="magic")  # pyright: ignore[reportArgumentType]


def test_wrong_settings_are_refused():
    for wrong in ({"tolerance": -1.0}, {"tolerance": float("nan")}, {"max_iterations": 0}):
        with pytest.raises(ValueError, match="tolerance"):
            solve(S, RowsAndColumns(B), epsilon=1.0, **wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"start \[2\] must be column potentials \[3\]"):
        solve(S, RowsAndColumns(B), epsilon=1.0, start=torch.zeros(2))


def test_mixed_devices_are_refused():
    with pytest.raises(ValueError, match="col_mass is on meta, scores on cpu"):
        solve(S, RowsAndColumns(B.to("meta")), epsilon=1.0)


def test_distances_and_costs_refuse_what_does_not_fit():
    p, q = torch.full((2, 3), 1 / 3), torch.full((2, 4), 0.25)
    with pytest.raises(ValueError, match="kind must be"):
        transport_distance(p, q, torch.zeros(3, 4), 0.1, "blunt")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"cost \[4, 3\] must be \[3, 4\]"):
        transport_distance(p, q, torch.zeros(4, 3), 0.1)
    with pytest.raises(ValueError, match="within"):
        transport_distance(p, q, torch.zeros(3, 4), 0.1, "debiased")
    with pytest.raises(ValueError, match="zero embeddings at"):
        ground_cost(torch.zeros(2, 3), torch.ones(2, 3))
    with pytest.raises(ValueError, match="kind must be cosine"):
        ground_cost(torch.ones(2, 3), torch.ones(2, 3), "manhattan")  # pyright: ignore[reportArgumentType]
