"""Selectors against loops that choose by hand, and what each is sure of."""

import pytest
import torch
from helpers import NUMBERS, seeded, single, trm

from recurlight import (
    BestScore,
    Chains,
    FirstToHalt,
    IncompatibleComponents,
    LastAnswer,
    LowestResidual,
    Majority,
    Recursion,
    Selector,
    SingleRefiner,
    StableAnswer,
    Verified,
)
from recurlight.halting import FixedHalting
from recurlight.search.chains import alike
from recurlight.search.found import found_in
from recurlight.truncation import EveryUpdate

ROWS, WIDTH = 200, 6


def chains(seed=0):
    """Chains with many ties: few different answers, scores, lengths."""
    draw = seeded(seed)
    answers = torch.randint(0, 2, (ROWS, WIDTH, 2), generator=draw)
    score, residual = (torch.randint(0, 3, (ROWS, WIDTH), generator=draw) / 2 for _ in range(2))
    segments = torch.randint(1, 4, (ROWS, WIDTH), generator=draw).int()
    halted, holds = (torch.rand(ROWS, WIDTH, generator=draw) < 0.4 for _ in range(2))
    logits = torch.nn.functional.one_hot(answers, 2).float()
    return Chains(logits, answers, alike(answers), score, segments, halted, residual, holds)


def of_row(found, row):
    """The chains of one row as plain lists."""
    fields = found._replace(alike=None, logits=None)._asdict()
    return {name: field[row].tolist() for name, field in fields.items() if field is not None}


def majority(row):
    answers = [tuple(answer) for answer in row["answers"]]
    return max(range(WIDTH), key=lambda k: (answers.count(answers[k]), row["score"][k], -k))


def first_to_halt(row):
    done = [k for k in range(WIDTH) if row["halted"][k]]
    if not done:
        return min(range(WIDTH), key=lambda k: (row["segments"][k], -row["score"][k], k))
    return min(done, key=lambda k: (row["segments"][k], -row["score"][k], k))


def verified(row):
    answers = [tuple(answer) for answer in row["answers"]]
    good = [k for k in range(WIDTH) if row["holds"][k]] or [*range(WIDTH)]
    return max(good, key=lambda k: (answers.count(answers[k]), row["score"][k], -k))


BY_HAND = {
    LastAnswer(): lambda row: 0,
    Majority(): majority,
    FirstToHalt(): first_to_halt,
    BestScore(): lambda row: max(range(WIDTH), key=lambda k: (row["score"][k], -k)),
    LowestResidual(): lambda row: min(range(WIDTH), key=lambda k: (row["residual"][k], k)),
    Verified(): verified,
    Verified(LastAnswer()): lambda row: (row["holds"] + [True]).index(True) % WIDTH,
}


@pytest.mark.parametrize("selector", BY_HAND, ids=repr)
def test_the_choice_is_that_of_a_loop(selector):
    found = chains()
    chosen = selector.choose(found).tolist()
    assert chosen == [BY_HAND[selector](of_row(found, row)) for row in range(ROWS)]


@pytest.mark.parametrize("selector", [Majority(), LastAnswer(), FirstToHalt(), LowestResidual()], ids=repr)
def test_confidence_is_the_share_of_chains_that_answer_alike(selector):
    found = found_in(chains(), selector, updates=1)
    for row in range(ROWS):
        answers = found.chains.answers[row].tolist()
        assert found.agreement[row] == pytest.approx(answers.count(found.answer[row].tolist()) / WIDTH)
    assert torch.equal(found.confidence, found.agreement)


def test_what_is_verified_is_sure_and_the_rest_is_not():
    found = found_in(chains(), Verified(), updates=1)
    assert torch.equal(found.confidence == 1, found.chains.holds.any(dim=1))
    assert set(found.confidence.tolist()) == {0.0, 1.0}


def test_a_score_is_the_confidence_of_whom_it_chose():
    found = found_in(chains(), BestScore(), updates=1)
    assert torch.equal(found.confidence, found.chains.score.amax(dim=1))


def test_the_first_chains_are_as_if_there_were_no_others():
    """Fails if votes of chains that are left out still count."""
    found = chains()
    part = Chains(*(field[:, :3] for field in found))._replace(alike=alike(found.answers[:, :3]))
    assert all(map(torch.equal, found.first(3), part))
    assert torch.equal(found.first(3).votes, part.votes)
    whole = found_in(found, Majority(), updates=9)
    assert torch.equal(whole.first(3, Majority()).updates, part.segments.sum(dim=1) * 9)


@pytest.mark.parametrize("selector", [Majority(), BestScore(), LowestResidual()], ids=repr)
def test_a_broken_chain_takes_nothing_from_the_others(selector):
    """Fails if one score or residual that is no number makes chain 0 the answer."""
    answers = torch.tensor([[[9], [1], [1], [1]]])
    score, residual = torch.tensor([[0.1, 0.5, torch.nan, 0.2]]), torch.tensor([[0.5, 0.1, torch.nan, 0.2]])
    spent, halted = torch.ones(1, 4, dtype=torch.int32), torch.ones(1, 4, dtype=torch.bool)
    found = Chains(torch.zeros(1, 4, 1, 2), answers, alike(answers), score, spent, halted, residual, None)
    assert selector.choose(found).tolist() == [1]
    nothing = found._replace(score=score * torch.nan, residual=residual * torch.nan)
    assert selector.choose(nothing).tolist() == [1 if selector == Majority() else 0]


def test_what_a_model_or_task_does_not_have_is_one_line():
    with pytest.raises(IncompatibleComponents, match=r"FixedHalting does not judge .*selector to Majority"):
        BestScore().check(single(), rules=False)
    with pytest.raises(IncompatibleComponents, match=r"this one has none: set search.selector to Majority"):
        Verified().check(trm(), rules=False)
    with pytest.raises(IncompatibleComponents, match="does not judge"):
        Verified(BestScore()).check(single(), rules=True)
    parts = SingleRefiner(torch.nn.Tanh()), EveryUpdate(), FixedHalting()
    with pytest.raises(IncompatibleComponents, match=r"these are numbers: set search.selector to Lowest"):
        Majority().check(Recursion(NUMBERS, *parts), rules=False)
    with pytest.raises(IncompatibleComponents, match=r"none stops: set model.eval_halting to StableAnswer"):
        FirstToHalt().check(single(), rules=False)
    FirstToHalt().check(single(stopping=StableAnswer()), rules=False)
    for selector in (LastAnswer(), Majority(), LowestResidual()):
        selector.check(single(), rules=False)


def test_a_selector_of_ones_own_writes_one_method():
    class Highest(Selector):
        def values(self, chains):
            return (chains.answers[:, :, 0],)

    found = chains()
    assert torch.equal(Highest().choose(found), found.answers[:, :, 0].argmax(dim=1))
