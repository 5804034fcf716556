"""Refiners that break one rule of the contract each, and a short way to compose them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from helpers import SIZES, mixer
from torch import Tensor

from recurlight.halting import FixedHalting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import SingleRefiner, SingleState, TwoLevelRefiner
from recurlight.truncation import EveryUpdate


def hrm():
    return TwoLevelRefiner(mixer(), mixer(), latent_steps=2)


def compose(refiner=None, truncation=None, halting=None, sizes=SIZES, **settings):
    refiner = SingleRefiner(mixer()) if refiner is None else refiner
    return Recursion(sizes, refiner, truncation or EveryUpdate(), halting or FixedHalting(), **settings)


class Noisy(SingleRefiner):
    stationary = False


class Summary(NamedTuple):
    summary: Tensor


class Nameless(SingleRefiner):
    def initial_state(self, injection):
        return Summary(self.answer_start(injection))


class Bare(SingleRefiner):
    def initial_state(self, injection):
        return self.answer_start(injection)


class Restless(TwoLevelRefiner):
    def update(self, state, injection, level):
        after = super().update(state, injection, level)
        return after._replace(latent=after.latent * 0.5)


class Growing(SingleRefiner):
    def update(self, state, injection, level):
        return SingleState(torch.cat([state.answer, state.answer], dim=1))


class Widening(SingleRefiner):
    def update(self, state, injection, level):
        return SingleState(state.answer.double())


class Deaf(SingleRefiner):
    def update(self, state, injection, level):
        return SingleState(self.cell(state.answer))


class Started(Deaf):
    def initial_state(self, injection):
        return SingleState(injection)


class Misspelt(SingleRefiner):
    def schedule(self):
        return ("answer", "anwser")


class Idle(TwoLevelRefiner):
    def schedule(self):
        return ("answer",)


class Unheard(TwoLevelRefiner):
    def schedule(self):
        return ("answer", "latent")
