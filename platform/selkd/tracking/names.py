"""Names as MLflow takes them, and back."""

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator

TRIAL = "selkd.trial"
"""The tag that names a run's trial."""
DELIVERED = "record/delivered_at"
"""When a finished trial arrived, in Unix seconds: MLflow orders metrics alone, and readers ask for what is new."""
FINISHED = "selkd.finished"
"""The tag of a study's run that says how many of its trials had finished when its driver stopped."""
MAX_NAME = 250
LONGEST = 6
"""Parts of a category's name that were joined by commas, up to which it is recognised."""
_PREFIXES = tuple(f"{part}/accuracy/" for part in ("validation", "test", "teacher/validation", "teacher/test"))
_RENAMED = re.compile(r"-[0-9a-f]{8}\Z")


def allowed(name: str) -> str:
    """`name` as MLflow takes it; when that changes it, a part of its checksum keeps it apart from others."""
    clean = posixpath.normpath(re.sub(r"[^/\w.\- :]", "_", name)).lstrip("/.")
    if clean == name and len(name) <= MAX_NAME:
        return name
    return f"{clean[: MAX_NAME - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def originals(metrics: Iterable[str], categories: Iterable[str]) -> dict[str, str]:
    """The names that metrics of categories had before MLflow took them, by the names that it gave them.

    `categories` are lists as the tag `selkd.categories` holds them. What no category explains keeps MLflow's name.
    """
    renamed = {name for name in metrics if _RENAMED.search(name)}
    if not renamed:
        return {}
    names = {name for text in set(categories) for name in _names(text)}
    full = {allowed(prefix + name): prefix + name for name in names for prefix in _PREFIXES}
    return {name: full[name] for name in renamed & full.keys()}


def _names(text: str) -> Iterator[str]:
    """Every name that a list joined by ", " may hold: a name may have commas of its own."""
    parts = text.split(", ")
    for start in range(len(parts)):
        for end in range(start + 1, min(start + LONGEST, len(parts)) + 1):
            yield ", ".join(parts[start:end])
