"""Configuration files: what is read, and what is refused with a readable error."""

from pathlib import Path

import pytest

from selkd.config import RunConfig, override, parse, read, validate
from selkd.errors import UserError


def test_scientific_numbers_are_numbers() -> None:
    assert parse("a: 1e-4\nb: -2E+3\nc: 1.5e2", "x") == {"a": 1e-4, "b": -2000.0, "c": 150.0}


def test_dates_stay_text() -> None:
    assert parse("a: 2026-01-02", "x") == {"a": "2026-01-02"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &x [1]\nb: *x", "anchors"),
        ("a: !!python/object/apply:os.system [ls]", "line 1"),
        ("a: 1\na: 2", "twice"),
        ("? [1, 2]\n: 3", "plain words"),
        ("a: " + "[" * 50 + "]" * 50, "nested too deeply"),
        ("a: [1", "line"),
        ("a: \t- b", "line"),
    ],
)
def test_unsafe_or_broken_yaml_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        parse(text, "file.yaml")


def test_files_that_are_no_configuration_are_named(tmp_path: Path) -> None:
    for content in [b"\xff\xfe\x00", b"- 1\n- 2", b"#" * ((1 << 20) + 1)]:
        path = tmp_path / "bad.yaml"
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.yaml"):
            read(path)
    with pytest.raises(UserError, match=r"absent\.yaml"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path)


def test_overrides_reach_nested_keys_without_touching_the_original() -> None:
    base = {"objective": {"name": "kd", "alpha": 1}}
    merged = override(base, ["objective.alpha=2", "training.optimiser.lr=1e-2", "task.categories=[a, 3]"])
    assert merged["objective"] == {"name": "kd", "alpha": 2}
    assert merged["training"] == {"optimiser": {"lr": 0.01}}
    assert merged["task"] == {"categories": ["a", 3]}
    assert base == {"objective": {"name": "kd", "alpha": 1}}


def test_an_objective_named_alone_takes_overrides() -> None:
    base = {"objective": "kd"}
    assert override(base, ["objective.temperature=2"]) == {"objective": {"name": "kd", "temperature": 2}}
    assert override(base, ["objective=selkd", "objective.alpha=3"]) == {"objective": {"name": "selkd", "alpha": 3}}
    assert base == {"objective": "kd"}


@pytest.mark.parametrize("group", ["categories", "samples"])
def test_a_policy_named_alone_takes_overrides(group: str) -> None:
    base = {"selection": {group: "random"}}
    assert override(base, [f"selection.{group}.size=3"]) == {"selection": {group: {"policy": "random", "size": 3}}}
    assert override({}, [f"selection.{group}=random", f"selection.{group}.must=[a]"]) == {
        "selection": {group: {"policy": "random", "must": ["a"]}}
    }
    assert base == {"selection": {group: "random"}}


@pytest.mark.parametrize("bad", ["novalue", "=3", "a..b=1", "objective.alpha.x=1", "a=[1"])
def test_a_broken_override_is_quoted(bad: str) -> None:
    with pytest.raises(UserError):
        override({"objective": {"alpha": 1}}, [bad])


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"sede": 1}, "sede: unknown key. Did you mean 'seed'"),
        ({"seed": "many"}, "seed: 'many' is refused"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"training": {"epochs": 0}}, "training.epochs: 0"),
        ({"training": {"epochs": 2, "steps": 3}}, "training: give epochs or steps, not both"),
        (
            {"training": {"optimiser": {"name": "sdg"}}},
            "training.optimiser.name: 'sdg' is not allowed. Did you mean 'sgd'",
        ),
        ({"training": {"optimiser": {"momentun": 0.9}}}, "Did you mean 'momentum'"),
        ({"objective": {"name": "selk", "alpha": 1}}, "objective.name: 'selk' is unknown. Did you mean 'selkd'"),
        ({"objective": {"alpha": 1}}, "objective.name: missing"),
        ({"objective": {"name": "selkd", "epsilon": 0}, "teacher": "t"}, "objective.epsilon: 0 is refused"),
        ({"objective": {"name": "kd", "epsilon": 1}, "teacher": "t"}, "objective.epsilon: unknown key"),
        ({"objective": "kd"}, "needs one. Train it with"),
        ({"objective": "kd", "teacher": "t", "data": {"augment": {"mixup": 0.2}}}, "training.teacher=online"),
        ({"selection": {"sample": "all"}}, "selection.sample: unknown key. Did you mean 'samples'"),
        ({"selection": {"samples": "al"}}, "selection.samples.policy: 'al' is unknown. Did you mean 'all'"),
        ({"selection": {"samples": {"policy": "all", "kep": 1}}}, "samples.kep: unknown key. Did you mean 'keep'"),
        ({"selection": {"categories": {"size": 3}}}, "selection.categories.policy: missing"),
        (
            {"selection": {"categories": {"policy": "most-confusible"}}},
            "selection.categories.policy: 'most-confusible' is unknown. Did you mean 'most-confusable'",
        ),
        (
            {"selection": {"categories": {"policy": "random", "siz": 1}}},
            "selection.categories.siz: unknown key. Did you mean 'size'",
        ),
        ({"selection": {"categories": {"policy": "random", "size": 0}}}, "selection.categories.size: 0 is refused"),
        (
            {"selection": {"categories": {"policy": "random", "must": ["a"], "never": ["a"]}}},
            "selection.categories: must: 'a' is in never, too",
        ),
        ({"selection": {"categories": 3}}, "selection.categories: 3 is refused"),
        ({"selection": {"categories": "worst"}}, "selection.categories.policy 'worst' reads one. Train it with"),
        ({"selection": {"samples": "margin"}}, "selection.samples.policy 'margin' reads one. Train it with"),
        ({"student": {"model": "resnet21"}}, "resnet2"),
        ({"task": {"categories": []}}, "task.categories"),
        ({"name": "../x"}, "name:"),
        ({"data": {"faults": {"labels": 1}}}, "data.faults.labels: 1 is refused"),
        ({"data": {"faults": {"images": -0.1}}}, "data.faults.images: -0.1 is refused"),
        ({"data": {"faults": {"image": 0.1}}}, "data.faults.image: unknown key. Did you mean 'images'"),
        (
            {"data": {"faults": {"teacher": 0.1}}},
            "data.faults.teacher: 0.1 does nothing with teacher: null. Remove data.faults.teacher, or set teacher.",
        ),
    ],
)
def test_a_broken_configuration_names_key_and_remedy(config: dict[str, object], told: str) -> None:
    with pytest.raises(UserError) as error:
        validate(RunConfig, config, "run.yaml")
    assert told in str(error.value)
    assert all(line.startswith("run.yaml: ") for line in str(error.value).splitlines())


def test_the_key_names_what_decides_the_student_only() -> None:
    one = RunConfig()
    assert one.key == RunConfig.model_validate({"workers": {"count": 4}, "experiment": "other"}).key
    assert one.key != RunConfig(seed=1).key


def test_what_is_left_at_its_default_may_come_later_without_new_keys() -> None:
    """So that runs which were recorded without such a group are found again."""
    key = RunConfig().key
    assert key == "student-95267360e0"
    assert RunConfig.model_validate({"semantics": {"source": "names", "characters": 3}}).key == key
    assert RunConfig.model_validate({"semantics": "zero-one"}).key != key
    crossing = {"teacher": "t", "objective": {"name": "transport"}}
    assert RunConfig.model_validate(crossing).key == "student-4e69f493f5"
    crossing["objective"] = {"name": "transport", "likeliest": 50}
    assert RunConfig.model_validate(crossing).key != "student-4e69f493f5"


def test_students_from_before_faults_outer_rows_and_weightings_keep_their_keys() -> None:
    taught = {"name": "plain", "seed": 3, "teacher": "big", "objective": "kd", "data": {"rows_per_category": 20}}
    assert RunConfig().key == "student-95267360e0"
    assert RunConfig.model_validate(taught).key == "plain-22eb0403e6"


def test_faults_outer_rows_and_weightings_count_in_the_key() -> None:
    data = [{}, {"outer": 0.1}, *({"faults": {kind: 0.1}} for kind in ("labels", "images", "teacher"))]
    weightings: list[object] = ["fixed", "random", {"policy": "fixed", "ratio": 0.5}]
    keys = [RunConfig.model_validate({"teacher": "t", "data": group}).key for group in data]
    keys += [RunConfig.model_validate({"teacher": "t", "weighting": group}).key for group in weightings]
    assert len(set(keys)) == len(keys) - 1  # nothing said of data, and the default weighting
