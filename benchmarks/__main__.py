"""`python -m benchmarks`: every speed we claim; `python -m benchmarks NAME [ARGUMENT ...]`: one of them."""

import importlib
import sys
from pathlib import Path

LONG = {"open_set_study", "chaos", "null_comparisons", "null_studies", "subset_search"}


def main(arguments: list[str]) -> None:
    known = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))
    if arguments and arguments[0] not in known:
        sys.exit(f"no benchmark {arguments[0]!r}; there are {', '.join(known)}")
    for name in arguments[:1] or [n for n in known if n not in LONG]:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main(arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
