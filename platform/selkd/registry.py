"""Components of one kind by name: configuration, reference pages, searches and conformance suites find them here."""

from typing import ClassVar, Protocol, TypeVar

from selkd.errors import UserError, nearest


class Named(Protocol):
    """Something with a name of its own."""

    name: ClassVar[str]


T = TypeVar("T", bound=Named)
C = TypeVar("C", bound=type[Named])


class Registry(dict[str, type[T]]):
    """Classes by their `name`; `kind` says what they are and `key` where users choose one."""

    def __init__(self, kind: str, key: str) -> None:
        super().__init__()
        self.kind, self.key = kind, key

    def register(self, cls: C) -> C:
        """Make a class known by its name."""
        if cls.name in self:
            raise UserError(f"{cls.__module__}.{cls.__name__}: the {self.kind} {cls.name!r} is there already")
        self[cls.name] = cls  # pyright: ignore[reportArgumentType]
        return cls

    def find(self, name: str) -> type[T]:
        if name not in self:
            raise UserError(f"{self.key}: {name!r} is no {self.kind}. {nearest(name, self)}")
        return self[name]
