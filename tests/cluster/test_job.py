"""A job's file: what it may say, what is refused and in which words, and what makes two jobs one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selkd.cluster.job import Job
from selkd.cluster.orders import variables_of
from selkd.errors import UserError

READY = Path(__file__).parents[2] / "jobs"


def refusal(**keys: Any) -> str:
    with pytest.raises(UserError) as refused:
        Job.of({"name": "job", "what": ["doctor"], **keys})
    return str(refused.value)


@pytest.mark.parametrize("path", sorted(READY.glob("*.yaml")), ids=lambda path: path.stem)
def test_ready_jobs_are_read_and_named_after_their_files(path: Path) -> None:
    assert Job.read(path).name == path.stem


@pytest.mark.parametrize("path", sorted(READY.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_stored_is_the_same_job(path: Path) -> None:
    job = Job.read(path)
    assert Job.of(job.written()) == job


def test_one_word_changes_the_place(tmp_path: Path) -> None:
    path = tmp_path / "a-job.yaml"
    path.write_text("what: [sweep, demo-open, seed=3, 7]\nwhere: local\nretries: 2\n")
    here = Job.read(path, ["retries=3"])
    there = Job.read(path, ["where={ray: 'http://h:1'}"])
    pods = Job.read(path, ["where=kuberay"])
    assert (here.where.kind, here.retries, here.what[-1]) == ("local", 3, "7")
    assert (there.where.kind, there.where.address) == ("ray", "http://h:1")
    assert pods.where.kind == "kuberay"
    assert not pods.ships
    assert here.ships
    assert there.ships


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"where": "kuberai"}, "Did you mean 'kuberay'?"),
        ({"where": "ray"}, "say which cluster"),
        ({"where": {"ray": "http://u:pass@h:1"}}, "without a password"),
        ({"where": {"ray": "http://h:1", "token": "x"}}, "say which cluster"),
        ({"retires": 2}, "Did you mean 'retries'?"),
        ({"what": []}, "what"),
        ({"what": ["selkd", "sweep"]}, "leave `selkd` out"),
        ({"what": ["sweep", "a\nb"]}, "line breaks"),
        ({"name": "../../etc"}, "name"),
        ({"name": "Über"}, "name"),
        ({"resources": {"cpu": {"memory": "8GB"}}}, "memory"),
        ({"resources": {"cpu": {"workers": 4, "most": 2}}}, "fewer than the 4 workers"),
        ({"resources": {"cpu": {"workers": 0}}}, "Remove this type of node"),
        ({"storage": {"workspace": "shared"}}, "not an absolute path"),
        ({"storage": {"workspace": "/mnt/../etc"}}, "not an absolute path"),
        ({"storage": {"store": "bucket/folder"}}, "storage.store"),
        ({"deadline": 0}, "deadline"),
        ({"where": "kuberay", "environment": {"code": "tree"}}, "pods run images"),
        ({"environment": {"variables": {"A B": "x"}}}, "A B"),
        ({"environment": {"variables": {"A": "$HOME"}}}, "Write the value out"),
        ({"environment": {"variables": {"A": "1"}, "secrets": {"A": {"env": "A"}}}}, "both a variable and a secret"),
        ({"environment": {"secrets": {"A": {}}}}, "env, file or kubernetes"),
        ({"environment": {"secrets": {"A": {"env": "A", "file": "/f"}}}}, "env or file, not both"),
        ({"environment": {"secrets": {"A": {"kubernetes": {"name": "s", "key": "k"}}}}}, "outside Kubernetes"),
        ({"where": "kuberay", "environment": {"secrets": {"A": {"env": "A"}}}}, "Add kubernetes: {name"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(keys: dict[str, Any], said: str) -> None:
    assert said in refusal(**keys)


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_PASSWORD", "API_KEY", "AWS_SECRET_ACCESS_KEY", "hf_token"])
def test_a_secret_in_plain_words_is_refused_and_not_repeated(name: str) -> None:
    said = refusal(environment={"variables": {name: "hunter2"}})
    assert f"{name}: {{env: {name}}}" in said
    assert "hunter2" not in said


def test_passwords_in_addresses_are_refused_and_not_repeated() -> None:
    said = refusal(environment={"variables": {"MLFLOW_TRACKING_URI": "http://me:hunter2@h"}})
    said += refusal(what=["sync", "http://me:hunter2@h"])
    said += refusal(environment={"secrets": {"A": "hunter2"}})
    said += refusal(storage={"store": "s3://me:hunter2@bucket/folder"})
    said += refusal(storage={"store": "s3://bucket/folder?secret_key=hunter2"})
    assert "looks like a secret" in said
    assert "process list" in said
    assert "never the value" in said
    assert "hunter2" not in said


def test_the_same_content_is_the_same_job(job: Callable[..., Job]) -> None:
    first = job()
    assert first.id("tree") == job().id("tree")
    others = [job(retries=1), job(what=["doctor"]), job(where={"ray": "http://h:1"}), job(name="other")]
    assert len({one.id("tree") for one in [first, *others]}) == 5
    assert first.id("another tree") != first.id("tree")
    elsewhere = job(environment={"tree": "/the/same/tree/on/another/machine"})
    assert elsewhere.id("tree") == first.id("tree")


def test_the_command_is_told_of_the_store(job: Callable[..., Job]) -> None:
    told = variables_of(job(storage={"store": "s3://bucket/folder"}), Path("/mnt/selkd"), None)
    assert told["SELKD_STORE"] == "s3://bucket/folder"
    assert "SELKD_STORE" not in variables_of(job(), Path("/mnt/selkd"), None)
