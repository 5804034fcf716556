"""Random numbers that belong to slots, and seeds of the generators that they come from."""

from recurlight.draw.by_slot import (
    Dropout,
    as_rank,
    dropout,
    integers,
    normal,
    number,
    of_batch,
    still,
    uniform,
)

__all__ = ["Dropout", "as_rank", "dropout", "integers", "normal", "number", "of_batch", "still", "uniform"]
