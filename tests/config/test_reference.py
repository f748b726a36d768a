"""The generated reference page is the code's."""

from pathlib import Path

from selkd.config.choices import NAMED
from selkd.config.reference import REGISTRIES, reference

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_models_say() -> None:
    assert PAGE.read_text() == reference(), "run `python -m selkd.config.reference > docs/configuration.md`"


def test_every_key_has_a_meaning_and_every_component_a_section() -> None:
    page = reference()
    for line in page.splitlines():
        if line.startswith("| `"):
            assert line.split("|")[-2].strip(), line
    for group, registry in REGISTRIES.items():
        for name in registry:
            assert f"## {group}.{NAMED[group]}: {name}\n" in page
