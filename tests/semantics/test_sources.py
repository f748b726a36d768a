"""What single sources say, and which files they refuse."""

from pathlib import Path
from typing import Any

import pytest
import torch

from selkd.errors import UserError
from selkd.semantics import SEMANTICS, Costs, Labels


def costs(source: str, theirs: tuple[str, ...], ours: tuple[str, ...], asked: Any = None, **settings: Any) -> Costs:
    cls = SEMANTICS[source]
    given = Labels("t", theirs, ours, lambda *_: asked, lambda *_: asked)
    return cls(cls.Settings(**settings)).costs(given)


def test_names_that_are_spelt_alike_are_near() -> None:
    found = costs("names", ("T-shirt/top", "Sneaker"), ("shirt", "sneakers", "bag")).between
    assert found[0].argmin() == 0
    assert found[1].argmin() == 1
    assert found[0, 2] == 1


def test_names_know_spelling_and_not_meaning() -> None:
    kitten, truck = costs("names", ("cat",), ("kitten", "truck")).between[0]
    assert kitten == truck == 1


def test_names_without_letters_are_names_too() -> None:
    assert costs("names", ("1", "+"), ("+", "1"), characters=5).between.diagonal().min() > 0.5


def test_cosines_of_names_by_hand() -> None:
    """` ab ` has pieces (` ab`, `ab `), ` abc ` has (` ab`, `abc`, `bc `): one in common."""
    assert costs("names", ("ab",), ("abc",)).between.item() == pytest.approx(1 - 1 / (2 * 3) ** 0.5)


def test_edges_of_a_hierarchy_by_hand(tmp_path: Path) -> None:
    (tmp_path / "h.json").write_text('{"cat": "animal/mammal", "trout": "animal/fish", "dog": "animal/mammal"}')
    found = costs("hierarchy", ("cat",), ("cat", "dog", "trout"), file=tmp_path / "h.json").between
    assert found.tolist() == [[0, 2, 4]]


def test_prototypes_are_centred_on_the_data() -> None:
    """Features of networks behind a ReLU all point one way; without centring every cosine is near one."""
    ours = torch.tensor([[9.0, 10.0], [11.0, 10.0]])
    found = costs("prototypes", ("a",), ("b", "c"), (torch.tensor([[8.0, 10.0]]), ours), encoder="e").between
    torch.testing.assert_close(found, torch.tensor([[0.0, 2.0]], dtype=torch.float64))


def test_an_embedding_of_zeros_is_named() -> None:
    with pytest.raises(UserError, match="of zeros, of b"):
        costs("prototypes", ("a",), ("b", "c", "d"), (torch.ones(1, 1), torch.tensor([[0.0], [1], [-1]])), encoder="e")
    nothing = torch.full((1, 2), torch.nan)
    with pytest.raises(UserError, match="no embedding, or one of zeros, of a"):
        costs("classifier-rows", ("a",), ("b", "c"), (nothing, torch.eye(2)))


def test_all_that_is_missing_of_both_lists_is_named_at_once(tmp_path: Path) -> None:
    """A name that both lists have is named once."""
    contents = {
        "vectors": "a,1\nx,1\n",
        "hierarchy": '{"a": "", "x": ""}',
        "matrix": ",x,z\na,1,2\nz,1,2\n",
    }
    for source, content in contents.items():
        file = tmp_path / source
        file.write_text(content)
        said = "lacks b, y, c" if source != "matrix" else f"no lines of b, y; {file} has no columns of y, c"
        with pytest.raises(UserError, match=f"{said}. Complete it"):
            costs(source, ("a", "b", "y"), ("x", "y", "c"), file=file)
    unseen = (torch.tensor([[torch.nan], [4.0], [5.0]]), torch.tensor([[1.0], [torch.nan], [2.0]]))
    for source, settings in {"prototypes": {"encoder": "e"}, "classifier-rows": {}}.items():
        with pytest.raises(UserError, match=r"of zeros, of a, y\. Complete it"):
            costs(source, ("a", "b", "c"), ("x", "y", "z"), unseen, **settings)


def test_a_table_may_know_costs_between_the_lists_alone(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("theirs,x,y\na,0.5,2\n")
    found = costs("matrix", ("a",), ("y", "x"), file=tmp_path / "m.csv")
    assert found.between.tolist() == [[2, 0.5]]
    assert found.theirs is None and found.ours is None
    assert found.over(2).between.tolist() == [[1, 0.25]]


@pytest.mark.parametrize(
    ("source", "content", "message"),
    [
        ("matrix", ",x,x\na,1,2\n", "two columns"),
        ("matrix", ",x,y\na,1\n", "1 costs for 2 columns"),
        ("matrix", ",x\na,-1\n", "negative cost"),
        ("matrix", ",x\na,nan\n", "not finite"),
        ("matrix", ",x\na,one\n", "the line of 'a'"),
        ("matrix", ",x\na,1\na,2\n", "'a' has two lines"),
        ("matrix", "", "fewer than two lines"),
        ("vectors", "a,1,2\nx,1\n", "several lengths"),
        ("vectors", "a,1\nx,0\n", "of zeros, of x"),
        ("hierarchy", "[1]", "expected names and their places"),
        ("hierarchy", "{", "cannot be read as JSON"),
    ],
)
def test_files_that_make_no_sense_are_refused(source: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(content)
    with pytest.raises(UserError, match=message):
        costs(source, ("a",), ("x",), file=tmp_path / "file")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for source in ("matrix", "vectors", "hierarchy"):
        with pytest.raises(UserError, match="absent"):
            costs(source, ("a",), ("x",), file=tmp_path / "absent")
