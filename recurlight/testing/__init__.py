"""Checks of your own parts: what recurlight's own parts pass."""

from recurlight.testing.cell import check_cell
from recurlight.testing.codec import check_decoder, check_encoder
from recurlight.testing.data import check_data
from recurlight.testing.halting import check_halting
from recurlight.testing.loss import check_loss
from recurlight.testing.refiner import check_refiner
from recurlight.testing.report import ContractError
from recurlight.testing.stopping import check_stopping
from recurlight.testing.supervision import check_supervision
from recurlight.testing.truncation import check_truncation

__all__ = [
    "ContractError",
    "check_cell",
    "check_data",
    "check_decoder",
    "check_encoder",
    "check_halting",
    "check_loss",
    "check_refiner",
    "check_stopping",
    "check_supervision",
    "check_truncation",
]
