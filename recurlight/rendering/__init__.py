"""How samples look: the contract of data, text in the terminal, and pictures in a sheet."""

from recurlight.rendering.looks import Drawable, Looks

__all__ = ["Drawable", "Looks"]
