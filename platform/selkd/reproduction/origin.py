"""What differs between where a run was recorded and here, before anything is trained: the first thing first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]

LAST_DIGITS = "sums come in another order: last digits, which training magnifies"
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "POT")
BOOKKEEPING = ("pandas", "mlflow", "optuna", "ray")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Difference:
    """One thing that was otherwise when the run was recorded, and what that may change."""

    what: str
    recorded: str
    here: str
    effect: str
    decides: bool = True  # may change the student

    def __str__(self) -> str:
        return f"{self.what}: {self.recorded} when recorded, {self.here} here ({self.effect})"


def differences(
    begins: Sequence[Record], here: Record, fingerprints: Record, config: Record, device: str
) -> list[Difference]:
    """What differs from any turn of the recorded training; `begins` are the ledger's events of that name.

    `here`, `fingerprints`, `config` and `device` are the provenance, contents, flat configuration and device of now.
    """
    found: dict[tuple[str, str], Difference] = {}
    for begin in begins:
        recorded = begin["provenance"]
        for one in (
            *_contents(recorded.get("fingerprints", {}), fingerprints),
            *_code(recorded, here),
            *_configuration(flat(begin["config"]), config),
            *_versions(recorded, here),
            *_machine(recorded, here, device_of(begin), device),
        ):
            found.setdefault((one.what, one.recorded), one)
    return list(found.values())


def device_of(begin: Record) -> str:
    """Where a turn of the training computed: `auto` takes a GPU where there is one."""
    wanted = begin["config"].get("workers", {}).get("device", "auto")
    gpus = begin["provenance"].get("hardware", {}).get("gpus")
    return "cuda" if wanted == "cuda" or (wanted == "auto" and gpus) else "cpu"


def flat(config: Record, prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by dots."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        below = flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
        found |= below
    return found


def _contents(recorded: Record, here: Record) -> Iterator[Difference]:
    effects = {"categories": "the task itself", "evidence": "what the teacher told the student"}
    for name, effect in effects.items():
        if name in recorded and recorded[name] != here.get(name):
            yield Difference(name, _short(recorded[name]), _short(here.get(name)), effect)


def _code(recorded: Record, here: Record) -> Iterator[Difference]:
    before, now = _commit(recorded), _commit(here)
    if before != now or "changed" in now:
        yield Difference("code", before, now, "anything, if what trains the student changed")


def _commit(provenance: Record) -> str:
    git = provenance.get("git")
    if not git:
        return f"selkd {(provenance.get('versions') or {}).get('selkd') or UNKNOWN}"
    return f"commit {git['commit'][:12]}" + (" with uncommitted changes" if git["dirty"] else "")


def _configuration(recorded: Record, here: Record) -> Iterator[Difference]:
    if added := sorted(set(here) - set(recorded)):
        shown = ", ".join(f"{key}={here[key]}" for key in added[:5]) + (", ..." if len(added) > 5 else "")
        yield Difference("configuration", "without these keys", shown, "what these keys stand for")


def _versions(recorded: Record, here: Record) -> Iterator[Difference]:
    before, now = recorded.get("versions") or {}, here["versions"]
    plug_ins = sorted((before.keys() | now.keys()) - {*PACKAGES, *BOOKKEEPING, "selkd"})
    for names, effect, decides in (
        (plug_ins, "what its components do", True),
        (PACKAGES, LAST_DIGITS, True),
        (BOOKKEEPING, "records and searches, not the student", False),
    ):
        for name in names:
            if before.get(name) != now.get(name):
                yield Difference(
                    f"package {name}", before.get(name) or UNKNOWN, now.get(name) or "none", effect, decides
                )
    if recorded.get("python") != here["python"]:
        yield Difference("Python", recorded.get("python") or UNKNOWN, here["python"], "nothing, as a rule")


def _machine(recorded: Record, here: Record, before: str, now: str) -> Iterator[Difference]:
    then = recorded.get("hardware") or {}
    if before != now:
        yield Difference("device", before, now, LAST_DIGITS)
    if then.get("cpu") != here["hardware"]["cpu"]:
        yield Difference("processor", then.get("cpu") or UNKNOWN, here["hardware"]["cpu"], LAST_DIGITS)
    if before == now == "cuda" and then.get("gpus") != here["hardware"]["gpus"]:
        yield Difference(
            "GPUs", ", ".join(then.get("gpus") or [UNKNOWN]), ", ".join(here["hardware"]["gpus"]), LAST_DIGITS
        )


def _short(value: Any) -> str:
    return str(value)[:12]
