"""Checkpoints: whole or absent, verified when read, without pickle.

A checkpoint is one safetensors file: tensors by path, and the rest of the state as JSON in its header. `index.json`
names the last two and the best, with their checksums.
"""

import json
import logging
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from selkd.errors import UserError
from selkd.files import checksum, read_json, write_json, writing

log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = folder / "index.json"

    def save(self, state: dict[str, Any], step: int, *, best: bool) -> None:
        """Keep `state` as the last checkpoint, and as the best one if it is; drop what is no longer named."""
        name = f"step-{step:09d}.safetensors"
        tensors: dict[str, Tensor] = {}
        skeleton = json.dumps(_take_tensors(state, "", tensors))
        with writing(self.folder / name) as part:
            try:
                save_file(tensors, part, {"state": skeleton})
            except SafetensorError as error:
                raise OSError(str(error)) from error
            entry = {"file": name, "sha256": checksum(part), "step": step}
        index = self._read_index()
        last = [entry, *(e for e in index["last"] if e["file"] != name)][:2]
        index = {"last": last, "best": entry if best else index["best"]}
        write_json(self.index, index)
        named = {e["file"] for e in [*last, index["best"]] if e}
        for file in self.folder.glob("step-*.safetensors"):
            if file.name not in named:
                file.unlink(missing_ok=True)

    def last(self) -> dict[str, Any] | None:
        """The newest undamaged checkpoint."""
        for entry in self._read_index()["last"]:
            state = self._load(entry)
            if state is not None:
                return state
        return None

    @property
    def reached(self) -> int:
        """The step of the newest checkpoint; 0 without one."""
        return max((entry["step"] for entry in self._read_index()["last"]), default=0)

    def best(self) -> dict[str, Any] | None:
        entry = self._read_index()["best"]
        return self._load(entry) if entry else None

    def _read_index(self) -> dict[str, Any]:
        try:
            index = read_json(self.index)
            if isinstance(index, dict) and isinstance(index.get("last"), list) and "best" in index:
                return index
            raise UserError(f"{self.index}: not a checkpoint index")
        except UserError as error:
            if self.index.exists():
                log.warning("%s; the checkpoints beside it are not used", error)
            return {"last": [], "best": None}

    def _load(self, entry: dict[str, Any]) -> dict[str, Any] | None:
        path = self.folder / entry["file"]
        try:
            if checksum(path) != entry["sha256"]:
                raise OSError("does not match its checksum")
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return _put_tensors(json.loads(file.metadata()["state"]), tensors)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            log.warning("checkpoint %s is damaged (%s); falling back to the one before", path, error)
            return None


def _take_tensors(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """`value` with its tensors moved to `tensors` and a mark in their place, ready for JSON."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, dict):
        return {"dict": [[k, _take_tensors(v, f"{path}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_take_tensors(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]}
    if value is None or isinstance(value, str | int | float | bool):
        return {"value": value}
    raise TypeError(f"{path}: a checkpoint cannot hold a {type(value).__name__}")


def _put_tensors(value: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    [(kind, content)] = value.items()
    match kind:
        case "tensor":
            return tensors[content]
        case "dict":
            return {k: _put_tensors(v, tensors) for k, v in content}
        case "list":
            return [_put_tensors(v, tensors) for v in content]
    return content
