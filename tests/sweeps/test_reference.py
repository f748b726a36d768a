"""The page on search spaces: its keys are the models', and its examples are sound."""

import re
from pathlib import Path

import pytest

from selkd.config import parse
from selkd.sweeps.reference import page, reference
from selkd.sweeps.samplers import SAMPLERS
from selkd.sweeps.space import SearchSpace

PAGE = Path(__file__).parents[2] / "docs" / "search-spaces.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
WHOLE = parse(EXAMPLES[0], "example")


def test_the_page_has_the_keys_of_the_models() -> None:
    text = PAGE.read_text()
    assert text == page(text), "run `python -m selkd.sweeps.reference docs/search-spaces.md`"


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_sound_part_of_a_space(example: str) -> None:
    SearchSpace.of({"name": "example", **WHOLE, **parse(example, "example")})


def test_every_key_has_a_meaning() -> None:
    for line in reference().splitlines():
        if line.startswith("| `"):
            assert line.split("|")[-2].strip(), line


def test_every_sampler_is_in_both_tables() -> None:
    text = PAGE.read_text()
    for sampler in SAMPLERS:
        name = sampler.model_fields["name"].default
        assert f"| `{name}` | " in text
        assert f"#### `sampler: {name}`" in text
