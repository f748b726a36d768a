import json
import subprocess
import sys
from pathlib import Path

import selkd.tracking
from selkd.tracking import provenance
from selkd.tracking.provenance import without_password


def test_versions_and_hardware_are_those_of_this_process():
    found = provenance()
    assert found["python"] == sys.version.split()[0]
    assert set(found["versions"]) >= {"selkd", "torch", "ray", "mlflow"} and all(found["versions"].values())
    assert found["hardware"]["cores"] >= 1 and found["hardware"]["memory_gb"] > 0 and found["hardware"]["cpu"]


def test_the_commit_is_that_of_the_working_tree_with_the_code():
    code = Path(selkd.tracking.__file__).parent
    head = subprocess.run(["git", "-C", code, "rev-parse", "HEAD"], check=False, stdout=subprocess.PIPE, text=True)
    git = provenance()["git"]
    assert (git["commit"] if git else "") == head.stdout.strip()


def test_nothing_of_the_environment_and_no_password_is_recorded(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-in-the-environment")
    monkeypatch.setattr(sys, "argv", ["selkd", "train", "root=https://me:hidden-in-the-address@host/data"])
    text = json.dumps(provenance())
    assert "hidden" not in text
    assert "https://host/data" in text


def test_only_user_and_password_leave_an_address():
    assert without_password("postgresql://u:p@db:5432/x?a=b@c") == "postgresql://db:5432/x?a=b@c"
    assert without_password("sqlite:////home/me/mlflow.db") == "sqlite:////home/me/mlflow.db"
