"""Families of contrasts: over which of them p-values are corrected, and what a planned look leaves of them."""

from collections.abc import Sequence

from selkd.comparison import looks
from selkd.comparison.contrasts import MOST_WITHIN, Contrasts
from selkd.comparison.factors import in_order
from selkd.comparison.question import Plan
from selkd.comparison.result import ALL, Contrast
from selkd.comparison.tables import Frame
from selkd.comparison.words import counted


def families(contrasts: Contrasts, pairs: Sequence[tuple[str, str]], trials: Frame) -> tuple[list[Contrast], str, int]:
    """Contrasts over all groups, then within each; what p-values were corrected over; and the first family's size."""
    found = contrasts.family(pairs, [ALL]) if pairs else []
    family = f"p-values are corrected (Holm) over {counted(_paired(found), 'contrast')}"
    inside = [group for group in in_order(sorted(set(trials["group"]))) if group != ALL]
    if not inside:
        return found, f"{family}.", len(found)
    count = len(pairs) * len(inside)
    family += " over all groups"
    if count > MOST_WITHIN:
        return found, f"{family}; the {count:,} within single groups are too many to make.", len(found)
    within = contrasts.family(pairs, inside)
    family += f", and apart from these over {counted(_paired(within), 'contrast')} within single groups."
    return [*found, *within], family, len(found)


def _paired(found: Sequence[Contrast]) -> int:
    """Contrasts that have pairs."""
    return sum(one.pairs > 0 for one in found)


def at_look(
    found: Sequence[Contrast], family: str, contrasts: Contrasts, plan: Plan, look: int
) -> tuple[list[Contrast], str]:
    """Each family held against what this look may spend of alpha."""
    whole, inside = ([one for one in found if (one.group == ALL) == over] for over in (True, False))
    held = [*looks.judged(whole, contrasts, plan, look), *looks.judged(inside, contrasts, plan, look)]
    limits = [f"{looks.bar(plan, look, _paired(each)):.2g}" for each in (whole, inside) if each]
    each = " (over all groups, and within)" if len(limits) > 1 else ""
    alpha = f"{plan.question.alpha:g}"
    spends = f"look {look} of {len(plan.looks)}, which may spend a part of {alpha} ({plan.spending})"
    said = (
        f"This is {spends if len(plan.looks) > 1 else f'the only look, which may spend {alpha}'}: the smallest p has "
        f"to be {' and '.join(limits)} at most{each}, before correction"
    )
    least = [one.smallest for one in whole if one.smallest is not None]
    if least and min(least) > looks.bar(plan, look, _paired(whole)):
        said += f". So few pairs cannot go below {min(least):.2g}: this look can tell nothing"
    return held, f"{family} {said}."


def standing(deviation: str | None, plan: Plan | None, look: int | None, found: Sequence[Contrast]) -> str:
    if deviation is not None:
        return f"Exploratory: {deviation}."
    if look is None or plan is None:
        return "Confirmatory: this comparison was declared before the study began."
    said = f"Confirmatory: look {look} of {len(plan.looks)}, declared before the study began."
    if look < len(plan.looks) and any(one.better is None for one in found if one.pairs):
        said += f" The next look is at {plan.looks[look]} seeds: `selkd sweep --extend`."
    return said
