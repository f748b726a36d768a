"""`selkd clean`."""

from typing import TYPE_CHECKING, Annotated

import typer

from selkd.cli import show

if TYPE_CHECKING:
    from selkd.cleaning import Unneeded

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is shown.")] = False, json: show.Json = False
) -> None:
    """Show what nothing refers to, by kind and size; with `--yes`, delete it.

    That is: files that killed processes left half-written an hour ago or earlier, checkpoints of finished students,
    students of studies that were removed, evidence of teachers and students that are gone, and, in the store of
    SELKD_STORE, what newer versions replaced a day ago or earlier. What a process holds, and what a record, a study or
    a teacher needs, stays. Remove the folder of a study to have its students cleaned.

    **Example**: `selkd clean`, then `selkd clean --yes`
    """
    from selkd.cleaning import KINDS, remove, unneeded
    from selkd.config import Workspace

    workspace = Workspace.default()
    found = unneeded(workspace)
    found = remove(workspace, found) if yes else found
    if json:
        show.print_json(
            {"deleted": yes, "found": [{"kind": one.kind, "path": str(one.path), "bytes": one.bytes} for one in found]}
        )
        return
    if not found:
        show.out.print("Nothing to clean.")
        return
    kinds = {kind: [one for one in found if one.kind == kind] for kind in KINDS}
    rows = [[kind, KINDS[kind], str(len(ones)), _sum(ones)] for kind, ones in kinds.items() if ones]
    show.table("Deleted" if yes else "Not needed any more", ["kind", "what", "number", "size"], rows)
    if not yes:
        show.say("`selkd clean --yes` deletes it; `selkd clean --json` names every file and folder.")


def _sum(found: "list[Unneeded]") -> str:
    size = sum(one.bytes for one in found)
    power = min(len(UNITS) - 1, (size.bit_length() - 1) // 10) if size else 0
    return f"{size / 1024**power:,.{1 if power else 0}f} {UNITS[power]}"
