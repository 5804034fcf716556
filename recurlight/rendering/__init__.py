"""How samples look: the contract of data, text in the terminal, and pictures in a sheet."""

from recurlight.rendering.looks import Drawable, Looks
from recurlight.rendering.wording import Wording

__all__ = ["Drawable", "Looks", "Wording"]
