"""What a terminal shows, as a picture."""

import re
from pathlib import Path

from rich.console import Console

REMOTE_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def draw(recorded: Console, title: str, path: Path) -> None:
    path.write_text(REMOTE_FONTS.sub("", recorded.export_svg(title=title)), encoding="utf-8")
