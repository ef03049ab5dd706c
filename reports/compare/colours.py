"""The colours that tell runs apart, on light ground and on dark: the same on the page and in its markdown."""

from __future__ import annotations

__all__ = ["colour_of"]

# Middle tones: the ground may be white or nearly black.
_COLOURS = (
    "#4f86f7",
    "#f2883a",
    "#2fb380",
    "#e5534b",
    "#9b6cf0",
    "#c99a1e",
    "#14b1c9",
    "#e26fb5",
    "#7f9c2e",
    "#8d7b68",
    "#5d6bd8",
    "#d0622f",
    "#16877a",
    "#b8447a",
    "#6d8fb3",
    "#a3b53b",
)
_GOLDEN_ANGLE = 137.508


def colour_of(index: int) -> str:
    """Give the colour of the run at this place; those beyond the named colours are spread around the colour wheel."""
    if index < len(_COLOURS):
        return _COLOURS[index]
    return f"hsl({round(index * _GOLDEN_ANGLE) % 360}, 58%, 55%)"
