"""Draws sweep.svg, the live table of a study of this folder's workspace that is at work now: python sweep.py NAME."""

import io
import sys
from pathlib import Path

from drawing import draw
from rich.console import Console
from rich.live import Live

from selkd.cli.watch import Screen
from selkd.config import Workspace
from selkd.sweeps.state import State
from selkd.sweeps.studies import Study

if __name__ == "__main__":
    study = Study.read(sys.argv[1])
    console = Console(record=True, width=90, file=io.StringIO())
    screen = Screen(study.space, Workspace.default(), State(), Live(console=Console(file=io.StringIO())))
    console.print(screen.drawn(study.state))
    draw(console, f"selkd sweep {study.name}", Path(__file__).with_suffix(".svg"))
