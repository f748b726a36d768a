"""The report of a comparison: one page that opens anywhere, and figures and tables for a paper."""

import re
from collections.abc import Sequence
from pathlib import Path

from selkd.comparison.compare import answer, read
from selkd.comparison.question import ALPHA
from selkd.comparison.records import Watch
from selkd.comparison.report.asking import question_of
from selkd.comparison.report.folder import write
from selkd.config.workspace import Workspace
from selkd.files import fingerprint

__all__ = ["report", "write"]


def report(
    studies: str | Sequence[str],
    by: str | None = None,
    metric: str | None = None,
    *,
    baseline: str | None = None,
    within: Sequence[str] = (),
    output: str | Path | None = None,
    workspace: Workspace | None = None,
    uri: str | None = None,
    alpha: float = ALPHA,
    fresh: bool = False,
    watch: Watch = lambda done, total: None,
) -> Path:
    """Compare studies and write the report; returns its page.

    What is not said comes from the comparison that the studies declared. Without `output` the report lies in the
    workspace, under the studies' names.
    """
    workspace = workspace or Workspace.default()
    names = [studies] if isinstance(studies, str) else list(studies)
    records = read(names, workspace, uri, fresh=fresh, watch=watch)
    question = question_of(records, by, metric, baseline, within, alpha)
    folder = workspace.root / "reports" / folder_name(names) if output is None else Path(output).expanduser()
    return write(answer(records, question), folder)


def folder_name(names: Sequence[str]) -> str:
    """A folder's name for studies; what no file system would take becomes a dash, and a checksum tells such apart."""
    joined = "-and-".join(names)
    plain = re.sub(r"[^\w.-]+", "-", joined).strip(".-")[:80]
    return plain if plain and plain == joined else f"{plain or 'study'}-{fingerprint(list(names))[:8]}"
