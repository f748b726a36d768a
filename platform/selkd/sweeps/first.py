"""The first points of a study: those that the user wrote, then the components' defaults."""

from itertools import product
from typing import TYPE_CHECKING, Any

from selkd.files import fingerprint
from selkd.sweeps.candidates import Parameters, Pick
from selkd.sweeps.components import components
from selkd.sweeps.parameters import AnyParameter
from selkd.sweeps.tree import lookup

if TYPE_CHECKING:
    from selkd.sweeps.space import SearchSpace

MOST_DEFAULTS = 10


def first_points(space: "SearchSpace", draw: Pick) -> list[Parameters]:
    """Each once; a default that does not lie in the space is drawn."""
    found: dict[str, Parameters] = {}
    for point in [*(dict(written) for written in space.first), *(_defaults(space, draw) if space.defaults else [])]:
        if space.candidates.allowed(point):
            found.setdefault(fingerprint(point), point)
    return list(found.values())


def _defaults(space: "SearchSpace", draw: Pick) -> list[Parameters]:
    """The base configuration, or the first ten combinations of the searched components' members."""
    named = [key for component in components().values() for key in (component.group, component.key)]
    searched = {key: space.search[key].values() or () for key in named if key in space.search}
    combinations = [dict(zip(searched, values, strict=True)) for values in product(*searched.values())]
    return [_default(space, members, draw) for members in combinations[:MOST_DEFAULTS]]


def _default(space: "SearchSpace", members: Parameters, draw: Pick) -> Parameters:
    chosen: Parameters = {}

    def pick(key: str, parameter: AnyParameter) -> Any:
        default = lookup(space.candidates.settings(chosen), key)
        if key in members:
            value = members[key]
        elif parameter.contains(default):
            value = default
        else:
            value = draw(key, parameter)
        chosen[key] = value
        return value

    return space.candidates.walk(pick)
