"""Checks of your own subclasses: what recurlight's own refiners, truncations, halting policies, ... pass."""

from recurlight.testing.halting import check_halting
from recurlight.testing.refiner import check_refiner
from recurlight.testing.report import ContractError
from recurlight.testing.supervision import check_supervision
from recurlight.testing.truncation import check_truncation

__all__ = ["ContractError", "check_halting", "check_refiner", "check_supervision", "check_truncation"]
