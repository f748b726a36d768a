"""What the library offers beside the commands."""

import dataclasses
from pathlib import Path

import pytest

import selkd


def test_every_public_name_is_there() -> None:
    assert all(getattr(selkd, name) for name in selkd.__all__)
    assert selkd.__all__ == sorted(selkd.__all__)


def test_nothing_to_deliver_is_an_empty_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert selkd.sync(tmp_path) == []


def test_an_evaluation_does_not_change() -> None:
    found = selkd.Evaluated("key", "test", {"accuracy": 1.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.part = "validation"  # pyright: ignore[reportAttributeAccessIssue]
