"""Draws demo.svg: runs `selkd demo` in this folder's workspace and keeps what it prints. By hand: python demo.py."""

import re
from pathlib import Path

from rich.console import Console

from selkd.cli import show
from selkd.cli.demo import demo

REMOTE_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)

if __name__ == "__main__":
    show.out = Console(record=True, width=80)
    demo()
    drawn = show.out.export_svg(title="selkd demo")
    Path(__file__).with_suffix(".svg").write_text(REMOTE_FONTS.sub("", drawn), encoding="utf-8")
