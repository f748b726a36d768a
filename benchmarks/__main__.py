"""`python -m benchmarks [NAME ...]`: every speed we claim, or the named ones."""

import importlib
import sys
from pathlib import Path

LONG = {"open_set_study", "chaos", "null_studies", "subset_search"}


def main(names: list[str]) -> None:
    known = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; there are {', '.join(known)}")
    for name in names or [n for n in known if n not in LONG]:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main([])


if __name__ == "__main__":
    main(sys.argv[1:])
