"""Tasks: which categories are selected, and what outputs and labels mean."""

from collections.abc import Callable, Sequence

import pytest
import torch

from selkd.data import Dataset, Part, Task
from selkd.errors import UserError

NAMES = ("cat", "dog", "shark", "trout", "7", "1")
SUPERCLASSES = {"mammal": ("dog", "cat"), "fish": ("shark", "trout")}


@pytest.mark.parametrize(
    ("selected", "expected"),
    [
        (["trout", "cat"], [3, 0]),
        ([2, 0], [2, 0]),
        (["2", "0"], [2, 0]),
        (["fish", "cat"], [2, 3, 0]),
        (["mammal"], [1, 0]),
        (["7"], [4]),
        ([7], [4]),
        ([1], [5]),  # the category named "1", not id 1
        ("all", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_categories_are_selected_by_name_id_or_superclass_in_the_order_given(
    selected: Sequence[str | int], expected: list[int]
) -> None:
    view = Task(selected).on(NAMES, SUPERCLASSES)
    assert view.ids.tolist() == expected
    assert view.ids.dtype == torch.int64
    assert view.names == tuple(NAMES[i] for i in expected)
    assert (view.k, view.outputs, view.output_names) == (len(expected), len(expected), view.names)


def test_open_task_has_one_more_output() -> None:
    view = Task(["trout", "cat"], "open").on(NAMES)
    assert (view.k, view.outputs) == (2, 3)
    assert view.output_names == ("trout", "cat", "not selected")


def test_labels_follow_the_selection() -> None:
    categories = torch.tensor([3, 0, 3, 5, 1])
    open_task, closed = (Task(["trout", "cat"], mode).on(NAMES) for mode in ("open", "closed"))
    assert open_task.labels(categories).tolist() == [0, 1, 0, 2, 2]
    assert open_task.keeps(categories).all()
    assert closed.keeps(categories).tolist() == [True, True, True, False, False]
    assert closed.labels(categories[:3]).tolist() == [0, 1, 0]
    with pytest.raises(UserError, match="a row of '1' is in a closed task that selects trout, cat"):
        closed.labels(categories)


def test_part_keeps_the_rows_of_selected_categories_only_when_closed(dataset: Callable[..., Dataset]) -> None:
    data = dataset([3, 4, 5])
    part = Part(data.train, torch.tensor([11, 0, 5, 7, 2, 1]))
    closed = Task(["c", "a"]).on(data).part(part)
    assert closed.ids.tolist() == [i for i in part.ids.tolist() if data.train.labels[i] != 1]
    assert set(Task(["c", "a"]).on(data).labels(closed.labels).tolist()) <= {0, 1}
    assert torch.equal(Task(["c", "a"], "open").on(data).part(part).ids, part.ids)


def test_data_set_brings_its_superclasses(dataset: Callable[..., Dataset]) -> None:
    data = dataset([2, 2, 2], superclasses={"both": ("c", "a")})
    assert Task(["both"]).on(data).names == ("c", "a")


@pytest.mark.parametrize(
    ("selected", "message"),
    [
        ([], "list is empty"),
        ("cat", "one string"),
        (["cat", "cat"], "'cat' is selected twice, by 'cat' and by 'cat'"),
        (["fish", "shark"], "'shark' is selected twice, by 'fish' and by 'shark'"),
        (["cat", 0], "'cat' is selected twice, by 'cat' and by 0"),
        (["trouts"], "'trouts' is unknown. Did you mean 'trout'"),
        (["Mammals"], "Did you mean 'mammal'"),
        ([6], "Ids go from 0 to 5"),
        ([-1], "Ids go from 0 to 5"),
        ([True], "True is unknown"),
        ([1.0], "1.0 is unknown"),
    ],
)
def test_empty_repeated_and_unknown_categories_are_refused(selected: Sequence, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Task(selected).on(NAMES, SUPERCLASSES)


@pytest.mark.parametrize("selected", ["all", list(NAMES)])
def test_open_task_without_anything_to_reject_is_refused(selected: Sequence[str]) -> None:
    with pytest.raises(UserError, match="an open task needs a category that is not selected"):
        Task(selected, "open").on(NAMES)


def test_unknown_mode_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="Did you mean 'closed'"):
        Task("all", "close")  # pyright: ignore[reportArgumentType]


def test_an_open_task_needs_its_own_answer_to_be_no_category() -> None:
    names = ("cat", "not selected", "dog")
    with pytest.raises(UserError, match=r"is called so\. Rename the category"):
        Task(["cat"], "open").on(names)
    assert Task(["cat", "not selected"]).on(names).k == 2
