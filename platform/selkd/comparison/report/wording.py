"""Names and links as a page may show them: set apart from the text around them, and never acting."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from selkd.comparison.words import visible

APART, TOGETHER = "\u2068", "\u2069"
"""Unicode's first strong isolate and its end: what <bdi> is in an attribute, where no element can be."""


def isolated(name: object) -> Markup:
    """A name whose direction does not reach the words around it."""
    shown = visible(str(name))
    return escape(shown) if shown.isascii() else Markup("<bdi>{}</bdi>").format(shown)


def folding(words: object) -> Markup:
    """The same where room is scarce: `key=value` may go on below its equals sign."""
    return Markup("=<wbr>").join(map(Markup, str(isolated(words)).split("=")))


def apart(name: object) -> str:
    """The same for an attribute or a title."""
    shown = visible(str(name))
    return shown if shown.isascii() else f"{APART}{shown}{TOGETHER}"


def named(sentence: str, names: Iterable[str]) -> Markup:
    """A sentence in which each of these names is isolated."""
    foreign = sorted({name for name in names if name and not name.isascii()}, key=len, reverse=True)
    if not foreign:
        return isolated(sentence)
    parts = re.split(f"({'|'.join(map(re.escape, foreign))})", sentence)
    return Markup().join(isolated(part) if part in foreign else escape(visible(part)) for part in parts)


def address(link: str) -> str | None:
    """A link that a click may follow; a tracking server can write anything there, and only the web's own are kept."""
    try:
        found = urlsplit(link)
    except ValueError:
        return None
    return link if found.scheme in ("http", "https") and found.netloc else None
