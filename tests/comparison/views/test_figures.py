import io
from typing import Any

import pytest
from matplotlib.text import Text

from selkd.comparison import style
from selkd.comparison.views import VIEWS, Made, Missing

NAMES = [view.name for view in VIEWS]
NEVER_OF_ONE = {"differences", "ranks", "costs", "categories", "kept-categories", "kept-rows", "importances"}


def everything(comparison) -> dict[str, Any]:
    return {view.name: view.make(comparison) for view in VIEWS}


def texts(figure) -> list[Any]:
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def drawn(figure):
    """A glyph that the font lacks would warn."""
    figure.savefig(file := io.BytesIO(), format="png", dpi=50)
    return file.getvalue().startswith(b"\x89PNG")


def overlapping(labels, renderer):
    boxes = [label.get_window_extent(renderer) for label in labels if label.get_text()]
    return any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])


@pytest.fixture(scope="module")
def many_views(compared, students):
    """Nine levels in five groups."""
    return everything(
        compared(students({f"policy-{k}": 0.5 + k / 50 for k in range(9)}, rows=(1, 2, 3, 4, 5), seeds=2))
    )


@pytest.fixture(scope="module")
def hostile_views(compared, students, hostile):
    names = dict(zip(hostile, (0.5, 0.55, 0.6, 0.65, 0.7, 0.75), strict=True))
    return everything(compared(students(names, names=hostile[:5], is_open=True)))


def test_the_names_of_views_are_names_of_files_and_each_comes_once():
    assert len(set(NAMES)) == len(NAMES) and all(name.replace("-", "").isalpha() for name in NAMES)


def test_hostile_names_are_drawn_as_they_are_read_and_make_no_formula(hostile_views):
    for name, made in hostile_views.items():
        if isinstance(made, Missing):
            assert name == "kept-categories"
            continue
        assert drawn(made.figure)
        assert not any(text.get_parse_math() for text in made.figure.findobj(Text))
        shown = "\n".join(text.get_text() for text in texts(made.figure))
        assert "\u202e" not in shown + made.alt and "\u202b" not in shown + made.alt
        if name in ("levels", "differences", "ranks", "categories"):
            assert "costs $5 or $6" in shown and "<b>T-shirt</b>" in shown


def test_figures_are_readable_in_print(hostile_views):
    for made in hostile_views.values():
        if isinstance(made, Made):
            assert made.figure.get_figwidth() in (style.COLUMN, style.PAGE)
            assert min(text.get_fontsize() for text in texts(made.figure)) >= style.SMALL
            for axes in made.figure.axes:
                if axes.get_visible() and axes.axison and axes.lines and not axes.images:
                    assert axes.get_xlabel()


def test_labels_of_ticks_do_not_cover_one_another(many_views):
    for name, made in many_views.items():
        if isinstance(made, Missing):
            continue
        made.figure.canvas.draw()
        renderer = made.figure.canvas.get_renderer()
        for axes in made.figure.axes:
            if axes.get_visible() and axes.axison:
                assert not overlapping(axes.get_yticklabels(), renderer), name
                if not any(label.get_rotation() for label in axes.get_xticklabels()):
                    assert not overlapping(axes.get_xticklabels(), renderer), name


def test_levels_differ_without_colours(many_views):
    lines = many_views["curves"].figure.axes[0].lines
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == len(lines) == 7
    looks = style.looks([str(k) for k in range(21)])
    assert len({(look.colour, look.marker, look.hatch) for look in looks.values()}) == 21


def test_an_axis_that_does_not_begin_at_zero_says_so(compared, students):
    views = everything(compared(students({"kd": 0.6, "selkd": 0.7})))
    for name, axis in (("levels", "x"), ("costs", "y"), ("slices", "y"), ("curves", "y"), ("losses", "y")):
        axes = views[name].figure.axes[0]
        low, high = sorted(axes.get_xlim() if axis == "x" else axes.get_ylim())
        label = axes.get_xlabel() if axis == "x" else axes.get_ylabel()
        assert ("not begin at 0" in label) == (not low <= 0 <= high), name


def test_one_level_with_one_seed_is_shown_or_the_reason_is_told(compared, students):
    views = everything(compared(students({"kd": 0.6}, seeds=1)))
    for name, made in views.items():
        if isinstance(made, Missing):
            assert name in NEVER_OF_ONE | {"open-set"} and made.reason.endswith(".")
        else:
            assert drawn(made.figure)
    assert isinstance(views["differences"], Missing)


def test_what_is_not_recorded_is_missing_with_a_reason_and_never_blank(compared):
    values = enumerate((0.5, float("nan"), 0.7))
    runs = [{"objective.name": name, "seed": seed, "test/accuracy": value, "validation/accuracy": value}
            for seed, value in values for name in ("kd", "selkd", "cross-entropy")]  # fmt: skip
    views = everything(compared(runs))
    there = {name for name, made in views.items() if isinstance(made, Made)}
    assert {"levels", "differences"} <= there <= {"levels", "differences", "ranks"}
    assert all(made.reason for made in views.values() if isinstance(made, Missing))
    assert all(drawn(made.figure) for made in views.values() if isinstance(made, Made))


def test_words_for_a_figure_name_its_numbers_and_stay_short(many_views):
    for name, made in many_views.items():
        if isinstance(made, Made):
            assert any(character.isdigit() for character in made.alt), name
            assert made.alt.endswith(".") and "\n" not in made.alt and len(made.alt) < 1200, (name, len(made.alt))


def test_what_is_left_out_of_a_figure_is_said(many_views):
    views = many_views
    assert "4 of 5 groups are drawn" in views["levels"].alt
    assert "7 of 9 levels are drawn" in views["curves"].alt
    assert set(views["levels"].numbers["group"]) > {axes.get_title() for axes in views["levels"].figure.axes}


def test_the_same_records_give_the_same_numbers_and_words(compared, students):
    comparison = compared(students({"kd": 0.6, "selkd": 0.7}, is_open=True))
    for one, two in zip(everything(comparison).values(), everything(comparison).values(), strict=True):
        if isinstance(one, Made) and isinstance(two, Made):
            assert one.numbers.equals(two.numbers) and one.alt == two.alt
        else:
            assert one == two
