"""Whatever a broken configuration looks like, the loader gives one readable error, never a traceback."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selkd.config import RunConfig
from selkd.errors import UserError

VALID: dict[str, Any] = {
    "name": "s",
    "seed": 1,
    "data": {"source": "digits", "validation": 0.1, "augment": {"crop": 1, "flip": True, "erase": 0.1}},
    "task": {"categories": ["three", 5], "mode": "open"},
    "teacher": "t",
    "student": {"model": "cnn", "width": 4},
    "objective": {"name": "selkd", "epsilon": 2.0, "alpha": 1.0, "target": None},
    "training": {"epochs": 3, "batch_size": 8, "optimiser": {"name": "sgd"}, "schedule": {"name": "cosine"}},
    "workers": {"count": 1, "device": "cpu"},
}
NUMBERS = [
    ("seed",), ("data", "validation"), ("data", "augment", "crop"), ("data", "augment", "erase"),
    ("objective", "epsilon"), ("objective", "alpha"), ("training", "epochs"), ("training", "batch_size"),
    ("training", "optimiser", "lr"),
    ("workers", "count"), ("student", "width"),
]  # fmt: skip
LISTS = [("task", "categories"), ("training", "schedule", "milestones"), ("objective", "target")]
WORDS = [
    ("task", "mode"), ("student", "model"), ("objective", "name"), ("training", "optimiser", "name"),
    ("training", "schedule", "name"), ("workers", "device"),
]  # fmt: skip
GROUPS = [
    (),
    ("data",),
    ("data", "augment"),
    ("task",),
    ("student",),
    ("objective",),
    ("training",),
    ("training", "optimiser"),
]

unfit = st.sampled_from([math.nan, math.inf, -math.inf, None, [], {}])
words = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=9, max_size=20)
junk = st.one_of(
    words,
    st.lists(st.integers(), max_size=3),
    st.dictionaries(words, st.integers(), max_size=2),
    st.sampled_from([-1, -1e9, math.nan, math.inf, -math.inf, "", "1,5"]),
)


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(yaml.safe_dump(VALID))
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return config


def bomb(lines: int) -> str:
    """A text whose aliases would unfold to 2^lines values."""
    return "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, lines))


broken_values = st.one_of(
    st.builds(changed, st.sampled_from(NUMBERS), junk),
    st.builds(changed, st.sampled_from(LISTS), st.lists(unfit, min_size=1, max_size=3)),
    st.builds(changed, st.sampled_from(WORDS), st.one_of(words, st.integers(), st.lists(words, max_size=2))),
    st.builds(lambda group, key, value: changed((*group, key), value), st.sampled_from(GROUPS), words, junk),
    st.builds(changed, st.sampled_from([g for g in GROUPS if g]), st.integers()),
).map(lambda config: yaml.safe_dump(config).encode())
TEXT = yaml.safe_dump(VALID)
broken_text = st.one_of(
    st.sampled_from(["{", "a: [", "!!python/name:os.system", "&a [*a]", "\t-", "? {", "a: b: c", "\x00"]).map(
        lambda bad: (TEXT + bad).encode("utf-8", "replace")
    ),
    st.binary(min_size=1, max_size=40).map(lambda tail: TEXT.encode() + b"\xff" + tail),
    st.builds(lambda depth: ("a: " + "[" * depth + "]" * depth).encode(), st.integers(25, 2000)),
    st.builds(lambda lines: bomb(lines).encode(), st.integers(2, 60)),
)


def test_the_configuration_that_gets_broken_is_valid() -> None:
    assert RunConfig.model_validate(VALID).key.startswith("s-")


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(st.one_of(broken_values, broken_text))
def test_every_broken_configuration_gives_one_readable_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        RunConfig.read(path)
    message = str(error.value)
    assert "run.yaml" in message
    assert "Traceback" not in message
    assert len(message) < 2000
