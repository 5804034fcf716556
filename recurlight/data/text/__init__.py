"""Running text, to be predicted symbol by symbol."""

from recurlight.data.text.data import TextData
from recurlight.data.text.measure import BitsPerByte

__all__ = ["BitsPerByte", "TextData"]
