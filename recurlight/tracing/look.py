"""How the cells of a replay are drawn, as plain data."""

from __future__ import annotations

from collections.abc import Iterable

from recurlight.rendering.looks import Drawable
from recurlight.tracing.records import Look

__all__ = ["look"]

_WHITE = "#ffffff"


def look(data: Drawable, question: list[int], tokens: Iterable[int]) -> Look:
    """Gather how tokens are drawn.

    Texts are written where pictures write marks, and where tokens are symbols: in a single row, where they
    stand apart, and where there are more of them than colors. Otherwise colors tell them apart. Symbols, and
    marks of which all are on white, have the colors of the page.

    Args:
        data: Colors tokens and names them.
        question: Its tokens.
        tokens: Those that occur.
    """
    looks, found = data.looks, sorted({*tokens})
    marked = bool(len(looks.marks))
    told = looks.shape[0] == 1 or bool(looks.gap) or len(looks.texts) > len(looks.colors)
    plain = told and bool(len(looks.texts)) and not marked and not data.targets
    texts = {token: looks.marks[token] if marked else _name(data, token) for token in found}
    colors = {token: "#" + bytes(looks.colors[token % len(looks.colors)]).hex() for token in found}
    paper = plain or (marked and {*colors.values()} <= {_WHITE})
    filled = {token for token in found if texts[token].strip(" .")}
    return Look(
        *looks.shape,
        looks.boxes,
        looks.canvas,
        texts,
        {token: None if paper else color for token, color in colors.items()},
        marked or plain,
        [cell for cell, token in enumerate(question) if token in filled] if marked else [],
    )


def _name(data: Drawable, token: int) -> str:
    """Return a token as text."""
    return data.looks.texts[token] if len(data.looks.texts) else str(token or ".")
