"""Named feature taps: see what a module inside a network puts out, without subclassing it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from selkd.errors import UserError, nearest


@contextmanager
def tap(model: nn.Module, paths: Mapping[str, str]) -> Iterator[dict[str, Tensor]]:
    """Within the context, each forward pass puts the outputs of the modules at `paths` into the yielded dictionary.

    Features keep their shape and their gradient. A module that runs twice in one pass leaves its last output.
    """
    modules = dict(model.named_modules())
    for name, path in paths.items():
        if path not in modules:
            raise UserError(f"tap {name!r}: the model has no module {path!r}. {nearest(path, modules)}")
    features: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name, path in paths.items():
            stack.enter_context(modules[path].register_forward_hook(_keep(features, name, path)))
        yield features


def _keep(features: dict[str, Tensor], name: str, path: str) -> Any:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise UserError(f"tap {name!r}: {path!r} puts out a {type(output).__name__}, not a tensor. Tap inside it.")
        features[name] = output.clone()  # the network may go on to change its own copy in place

    return hook
