"""Draws demo.svg, what `selkd demo` prints in this folder's workspace. By hand: python demo.py."""

from pathlib import Path

from drawing import draw
from rich.console import Console

from selkd.cli import show
from selkd.cli.demo import demo

if __name__ == "__main__":
    show.out = Console(record=True, width=80)
    demo()
    draw(show.out, "selkd demo", Path(__file__).with_suffix(".svg"))
