"""Teachers come back as they were saved, or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from selkd import models
from selkd.errors import UserError
from selkd.files import checksum
from selkd.files import fingerprint as of
from selkd.models.card import CARD, WEIGHTS
from selkd.models.classifier import Classifier
from selkd.models.teachers import TeacherCard, TeacherRepository

CATEGORIES = ("ape", "bee", "cat")


def classifier(seed: int = 0, mean: float = 0.3, width: int = 2) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(models.build("cnn", channels=1, outputs=3, image_size=8, width=width), [mean], [0.4])


def save(
    repository: TeacherRepository, name: str = "zoo", made: Classifier | None = None, **changes: Any
) -> TeacherCard:
    described: dict[str, Any] = {
        "categories": CATEGORIES,
        "architecture": "cnn",
        "settings": {"width": 2},
        "channels": 1,
        "image_size": 8,
        "data": {"name": "animals", "fingerprint": "0" * 64},
        "accuracy": {"ape": 0.5, "bee": 1.0, "cat": 0.75},
        "validation_accuracy": 0.75,
    }
    return repository.save(name, made or classifier(), **(described | changes))


@pytest.fixture
def repository(tmp_path: Path) -> TeacherRepository:
    return TeacherRepository(tmp_path / "teachers")


def edit(repository: TeacherRepository, **changes: Any) -> None:
    path = repository.path("zoo") / CARD
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_teacher_answers_as_the_classifier_that_was_saved(repository: TeacherRepository):
    made = classifier().eval()
    card = save(repository, made=made)
    teacher = repository.load("zoo")
    images = torch.rand(5, 1, 8, 8)
    assert torch.equal(teacher.logits(images), made.placed("cpu")(images))
    assert teacher.card == card
    assert sorted(path.name for path in repository.path("zoo").iterdir()) == [CARD, WEIGHTS]


def test_a_teacher_is_frozen_and_answers_without_gradient_in_its_own_precision(repository: TeacherRepository):
    save(repository)
    teacher = repository.load("zoo")
    assert not teacher.classifier.training
    assert not any(parameter.requires_grad for parameter in teacher.classifier.parameters())
    logits = teacher.logits(torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True))
    assert logits.dtype == torch.float32 and not logits.requires_grad


def test_outputs_that_are_not_finite_name_the_teacher(repository: TeacherRepository):
    save(repository)
    edit(repository, std=[1e-38])
    with pytest.raises(UserError, match=r"teacher 'zoo' gives outputs that are not finite.*choose another teacher"):
        repository.load("zoo").logits(torch.rand(2, 1, 8, 8))


def test_a_sigmoid_head_answers_with_its_shares_of_yes(repository: TeacherRepository):
    made = classifier().eval()
    with torch.no_grad():
        made.network.get_parameter("head.weight").mul_(20)
    save(repository, made=made, head="sigmoid")
    images = torch.rand(4, 1, 8, 8)
    yes = made.placed("cpu")(images).double().sigmoid()
    found = repository.load("zoo").logits(images).double()
    torch.testing.assert_close(found.exp(), yes / yes.sum(1, keepdim=True), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.softmax(1), found.exp(), atol=1e-5, rtol=0)
    assert (yes.sum(1) - 1).abs().max() > 0.1, "or the sum would not be needed"


def test_a_sigmoid_head_that_says_no_to_all_still_answers(repository: TeacherRepository):
    made = classifier()
    with torch.no_grad():
        made.network.get_parameter("head.bias").copy_(torch.tensor([-500.0, -501.0, -900.0]))
        made.network.get_parameter("head.weight").zero_()
    save(repository, made=made, head="sigmoid")
    found = repository.load("zoo").logits(torch.rand(1, 1, 8, 8)).softmax(1)
    torch.testing.assert_close(found, torch.tensor([[500.0, 499.0, 100.0]]).softmax(1), atol=1e-6, rtol=0)


def test_loading_leaves_the_random_numbers_of_the_caller_alone(repository: TeacherRepository):
    save(repository)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    _ = repository.load("zoo").classifier
    assert torch.equal(torch.rand(1), expected)


def test_the_fingerprint_follows_what_decides_the_answers(tmp_path: Path):
    def fingerprint(folder: str, **changes: Any) -> str:
        return save(TeacherRepository(tmp_path / folder), **changes).fingerprint

    base = fingerprint("base")
    assert fingerprint("same", name="other", accuracy={}, validation_accuracy=0.1) == base
    assert fingerprint("defaults", settings={"width": 2, "depth": 3}) == base
    assert fingerprint("weights", made=classifier(seed=1)) != base
    assert fingerprint("mean", made=classifier(mean=0.31)) != base
    assert fingerprint("head", head="sigmoid") != base
    assert fingerprint("softmax", head="softmax") == base


def test_a_card_without_a_head_is_that_of_a_softmax_and_keeps_its_fingerprint(repository: TeacherRepository):
    card = save(repository)
    path = repository.path("zoo") / CARD
    written = {key: value for key, value in json.loads(path.read_text()).items() if key != "head"}
    path.write_text(json.dumps(written))
    decides = ("weights_sha256", "architecture", "settings", "channels", "image_size", "mean", "std")
    assert repository.load("zoo").card == card
    assert card.fingerprint == of({key: written[key] for key in decides})


def test_settings_that_json_cannot_tell_apart_survive(repository: TeacherRepository):
    network = models.build("mlp", channels=1, outputs=3, image_size=8, hidden=(4, 5))
    card = save(repository, made=Classifier(network, [0], [1]), architecture="mlp", settings={"hidden": (4, 5)})
    assert repository.load("zoo").card == card


def test_names_are_listed_in_order(repository: TeacherRepository):
    assert repository.names() == []
    for name in ("b", "a"):
        save(repository, name)
    assert repository.names() == ["a", "b"]


def test_saving_the_same_teacher_again_changes_nothing(repository: TeacherRepository):
    first = save(repository)
    assert save(repository) == first


def test_a_teacher_whose_data_lie_elsewhere_by_now_is_the_same(repository: TeacherRepository):
    first = save(repository, data={"name": "photos", "fingerprint": "0" * 64})
    assert save(repository, data={"name": "imagefolder:/data/photos", "fingerprint": "0" * 64}) == first
    for fingerprint in ("1" * 64, ""):
        with pytest.raises(UserError, match="a different teacher 'zoo' exists"):
            save(repository, data={"name": "photos", "fingerprint": fingerprint})


def test_data_of_unknown_content_are_told_apart_by_name(repository: TeacherRepository):
    save(repository, data={"name": "my cars", "fingerprint": ""})
    with pytest.raises(UserError, match="a different teacher 'zoo' exists"):
        save(repository, data={"name": "your cars", "fingerprint": ""})


def test_another_teacher_does_not_take_a_name(repository: TeacherRepository):
    first = save(repository)
    with pytest.raises(UserError, match="a different teacher 'zoo' exists"):
        save(repository, made=classifier(seed=1))
    assert repository.load("zoo").card == first


@pytest.mark.parametrize("name", ["../zoo", "", "a/b", ".hidden", "a\n", "x" * 101])
def test_names_that_are_no_folder_names_are_refused(repository: TeacherRepository, name: str):
    with pytest.raises(UserError, match="a name has letters"):
        save(repository, name)
    with pytest.raises(UserError, match="no teacher"):
        repository.load(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": ("ape", "bee", "bee")}, "occurs twice"),
        ({"categories": ("ape", "bee"), "accuracy": {}}, "head.weight is \\[3, 4\\] instead of \\[2, 4\\]"),
        ({"accuracy": {"dog": 1.0}}, "dog not among the categories"),
        ({"channels": 3}, "expected 3 values"),
        ({"settings": {"width": 4}}, "do not fit"),
        ({"made": classifier(width=1)}, "do not fit"),
    ],
)
def test_a_card_that_contradicts_the_weights_is_not_saved(
    repository: TeacherRepository, changes: dict[str, Any], message: str
):
    with pytest.raises(UserError, match=message):
        save(repository, **changes)
    assert repository.names() == []
    assert list(repository.root.iterdir()) == []


def test_an_unknown_teacher_is_refused_with_the_nearest(repository: TeacherRepository):
    save(repository)
    with pytest.raises(UserError, match=r"no teacher 'zooo'.*Did you mean 'zoo'\?"):
        repository.load("zooo")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        save(TeacherRepository(tmp_path / "file"))


def test_changed_or_truncated_weights_are_refused(repository: TeacherRepository):
    save(repository)
    weights = repository.path("zoo") / WEIGHTS
    whole = weights.read_bytes()
    for content in (whole[:-1], whole[:10], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        weights.write_bytes(content)
        with pytest.raises(UserError, match="does not match the checksum"):
            _ = repository.load("zoo").classifier
    weights.unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors: missing"):
        _ = repository.load("zoo").classifier


def test_weights_that_are_not_finite_are_refused(repository: TeacherRepository):
    save(repository)
    weights = repository.path("zoo") / WEIGHTS
    state = safetensors.torch.load_file(weights)
    state["head.bias"][0] = torch.nan
    safetensors.torch.save_file(state, weights)
    edit(repository, weights_sha256=checksum(weights))
    with pytest.raises(UserError, match=r"NaN or infinite values in head\.bias"):
        _ = repository.load("zoo").classifier


def test_a_diverged_network_does_not_become_a_teacher(repository: TeacherRepository):
    made = classifier()
    with torch.no_grad():
        made.network.get_parameter("head.bias")[0] = torch.inf
    with pytest.raises(UserError, match="NaN or infinite"):
        save(repository, made=made)
    assert repository.names() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": ["ape", "bee"], "accuracy": {}}, "as cnn with 2 outputs: .*head.bias is \\[3\\] instead"),
        ({"categories": [*CATEGORIES, "dog"]}, "as cnn with 4 outputs"),
        ({"architecture": "cnm"}, "'cnm' is not an architecture. Did you mean 'cnn'"),
        ({"settings": {"widht": 2}}, "no setting 'widht'"),
        ({"mean": [0.1, 0.2]}, "expected 1 values"),
        ({"head": "relu"}, "head: Input should be 'softmax' or 'sigmoid'"),
        ({"std": [0.0]}, "std.0: Input should be greater than 0"),
        ({"name": "other"}, "the card is that of teacher 'other'"),
        ({"colour": "red"}, "colour: Extra inputs"),
    ],
)
def test_a_card_that_contradicts_its_weights_is_refused(
    repository: TeacherRepository, changes: dict[str, Any], message: str
):
    save(repository)
    edit(repository, **changes)
    with pytest.raises(UserError, match=message):
        _ = repository.load("zoo").classifier


def test_a_missing_or_truncated_card_is_refused(repository: TeacherRepository):
    save(repository)
    card = repository.path("zoo") / CARD
    for content in (b"", card.read_bytes()[:40], b"[]", b"\xff\xfe"):
        card.write_bytes(content)
        with pytest.raises(UserError, match=r"card\.json.*train or import"):
            repository.load("zoo")
    card.unlink()
    with pytest.raises(UserError, match=r"card\.json: no such file"):
        repository.load("zoo")


def test_imported_weights_reach_the_network(tmp_path: Path):
    source, target = classifier().network, classifier(seed=1).network
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "w.pth")
    TeacherRepository.read_weights(target, tmp_path / "w.pth")
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True)
    )


def test_cards_are_read_without_weights_and_broken_entries_are_skipped_with_the_reason(repository: TeacherRepository):
    for name in ("cut", "gone", "strange", "whole"):
        save(repository, name)
    (repository.path("whole") / WEIGHTS).write_bytes(b"not read")
    (repository.path("cut") / CARD).write_text("{")
    (repository.path("gone") / WEIGHTS).unlink()
    (repository.path("strange") / CARD).write_text((repository.path("whole") / CARD).read_text())
    cards, broken = repository.cards()
    assert list(cards) == ["whole"]
    assert "cannot be read as JSON" in broken["cut"]
    assert "weights.safetensors: missing" in broken["gone"]
    assert "the card is that of teacher 'whole'" in broken["strange"]


def test_a_fault_of_weights_is_found_when_they_are_read(repository: TeacherRepository):
    save(repository)
    assert repository.fault("zoo") is None
    (repository.path("zoo") / WEIGHTS).write_bytes(b"other")
    assert "does not match the checksum" in str(repository.fault("zoo"))


def test_a_removed_teacher_leaves_nothing_and_its_name_is_free(repository: TeacherRepository):
    save(repository)
    (repository.path("zoo") / CARD).write_text("broken ones go, too")
    repository.remove("zoo")
    assert list(repository.root.iterdir()) == []
    assert save(repository, made=classifier(seed=1)).name == "zoo"


@pytest.mark.parametrize("name", ["../zoo", "", ".", "a/b", "zooo"])
def test_only_a_teacher_is_removed(repository: TeacherRepository, name: str):
    save(repository)
    with pytest.raises(UserError, match=r"a name has letters|no teacher"):
        repository.remove(name)
    assert repository.names() == ["zoo"]


def test_a_teacher_that_is_a_link_is_removed_without_what_it_points_to(repository: TeacherRepository, tmp_path: Path):
    save(TeacherRepository(tmp_path / "other"))
    repository.root.mkdir()
    repository.path("zoo").symlink_to(tmp_path / "other" / "zoo")
    repository.remove("zoo")
    assert repository.names() == []
    assert TeacherRepository(tmp_path / "other").fault("zoo") is None
