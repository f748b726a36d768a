"""What is shipped: as git would have it, within the tree, not too much, and always the same."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from selkd.cluster.tree import Tree
from selkd.errors import UserError

FILES = {
    ".gitignore": "*.log\n!kept.log\n/build/\nsecret.env\n",
    ".selkdignore": "data/\n*.bin\n",
    "a.py": "a",
    "b.log": "b",
    "kept.log": "k",
    "build/x.py": "x",
    "sub/build/y.py": "y",
    "sub/.gitignore": "*.py\n!z.py\n",
    "sub/w.py": "w",
    "sub/z.py": "z",
    "secret.env": "PASSWORD=1",
    "data/rows.csv": "1",
    "model.bin": "m",
    ".git/config": "c",
    ".selkd/runs/x.json": "{}",
    "pkg/__pycache__/a.pyc": "p",
    "pkg/m.py": "m",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_ignore_files_are_respected_at_every_level(tmp_path: Path) -> None:
    shipped = set(Tree.of(write(tmp_path, FILES)).files)
    assert shipped == {".gitignore", ".selkdignore", "a.py", "kept.log", "sub/.gitignore", "sub/z.py", "pkg/m.py"}


def test_git_agrees(tmp_path: Path) -> None:
    files = {name: text for name, text in FILES.items() if not name.startswith((".git/", ".selkdignore", ".selkd/"))}
    write(tmp_path, {name: text for name, text in files.items() if "__pycache__" not in name})
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    listed = subprocess.run(
        ["git", "-C", str(tmp_path), "ls-files", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(Tree.of(tmp_path).files) == set(listed.stdout.split())


def test_links_within_are_followed_and_links_out_are_not(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, {"passwords": "hunter2"})
    root = write(tmp_path / "tree", {"spaces/a.yaml": "a", "package/code.py": "c"})
    (root / "package" / "spaces").symlink_to("../spaces")
    (root / "package" / "round").symlink_to("..")
    (root / "leak").symlink_to(outside)
    (root / "passwords").symlink_to(outside / "passwords")
    tree = Tree.of(root)
    assert set(tree.files) == {"spaces/a.yaml", "package/code.py", "package/spaces/a.yaml"}
    assert set(tree.outside) == {"leak", "passwords"}


def test_too_much_is_refused_with_the_heaviest_folders(tmp_path: Path) -> None:
    root = write(tmp_path, {"photos/a": "x" * 3000, "notes/b": "x" * 2000, "c": "x"})
    with pytest.raises(UserError, match=r"photos/ \(.*notes/ \(.*\.selkdignore"):
        Tree.of(root, limit=4000)
    write(root, {".selkdignore": "photos/\n"})
    assert Tree.of(root, limit=4000).bytes < 4000


def test_the_fingerprint_is_of_names_contents_and_modes(tmp_path: Path) -> None:
    root = write(tmp_path, {"a": "1", "b": "2"})
    seen = [Tree.of(root).fingerprint]
    (root / "a").write_text("3")
    seen.append(Tree.of(root).fingerprint)
    (root / "b").rename(root / "c")
    seen.append(Tree.of(root).fingerprint)
    (root / "c").chmod(0o755)
    seen.append(Tree.of(root).fingerprint)
    assert len(set(seen)) == 4
    write(root, {"ignored.pyc": "x"})
    assert Tree.of(root).fingerprint == seen[-1]


def test_the_same_tree_is_the_same_package(tmp_path: Path) -> None:
    root = write(tmp_path / "tree", {"run.sh": "echo", "a/b.txt": "é"})
    (root / "run.sh").chmod(0o755)
    packages = [tmp_path / "1.zip", tmp_path / "2.zip"]
    Tree.of(root).pack(packages[0])
    (root / "run.sh").touch()
    Tree.of(root).pack(packages[1])
    assert packages[0].read_bytes() == packages[1].read_bytes()
    with zipfile.ZipFile(packages[0]) as package:
        assert package.namelist() == ["a/b.txt", "run.sh"]
        assert package.getinfo("run.sh").external_attr >> 16 & 0o111
        assert package.read("a/b.txt").decode() == "é"


def test_our_own_tree_ships_its_package_and_its_ready_spaces() -> None:
    tree = Tree.of(Path(__file__).parents[2])
    assert tree.import_path == "platform"
    assert "platform/selkd/search_spaces/demo-open.yaml" in tree.files
    assert not any(name.startswith("tests/") for name in tree.files)
