"""Search on small models: what chains have in common with single runs, what differs, and what is refused."""

import pytest
import torch
from helpers import SIZES, batch, mixer, single, trm

from recurlight import (
    Batch,
    BestScore,
    DataError,
    FirstToHalt,
    IncompatibleComponents,
    InjectedRefiner,
    LastAnswer,
    LowestResidual,
    Majority,
    PuzzleData,
    Recursion,
    Rules,
    Search,
    Stopping,
    Symmetry,
    Verified,
)
from recurlight.checkpoints.trust import Trust
from recurlight.halting import FixedHalting
from recurlight.refiners import AddedInjection
from recurlight.search.base import picked
from recurlight.search.found import found_in
from recurlight.spec import from_spec, to_spec
from recurlight.truncation import EveryUpdate
from recurlight.types import IGNORE


class Turning(PuzzleData):
    """Puzzles of 16 tokens that may be turned and renamed; answers that begin with an even token hold."""

    def __init__(self, known=True):
        super().__init__(vocab_size=6, grid_shape=(4, 4))
        self.known = known

    def load(self):
        raise AssertionError("search needs no puzzles of the data")

    def symmetry_group(self):
        return _turned if self.known else None

    def rules(self):
        return Even() if self.known else None


def _turned(questions, keys):
    import numpy as np

    steps = (keys % np.uint64(15) + np.uint64(1)).astype(np.int64)[:, None]
    return Symmetry.of((np.arange(16) + steps) % 16, np.array([0, 2, 3, 4, 5, 1]))


class Even(Rules):
    def holds(self, questions, answers):
        return answers[:, 0] % 2 == 0


class Soon(Stopping):
    """Rows leave at different times, those whose answer begins with a small token first."""

    def look(self, seen, memory):
        return seen.age > seen.answer[:, 0] % 4, None


def fields(found):
    return [*found[:-1], *(field for field in found.chains if field is not None)]


def part(asked, rows):
    return Batch(*(field[rows] for field in asked))


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("selector", [Majority(), LastAnswer(), BestScore(), LowestResidual()], ids=repr)
def test_one_chain_is_one_run_bit_for_bit(adaptive, selector):
    recursion, asked = trm(), batch(rows=6)
    found = Search(selector=selector).solve(recursion, asked, adaptive=adaptive)
    alone = recursion.solve(asked, adaptive=adaptive)
    assert torch.equal(found.logits, alone.logits)
    assert torch.equal(found.segments, alone.segments)
    assert torch.equal(found.chains.score[:, 0], alone.confidence)
    prediction = found.prediction()
    assert torch.equal(prediction.halted, alone.halted)
    assert torch.equal(prediction.logits, alone.logits)


def test_chain_0_is_the_run_without_a_search_whatever_the_others_do():
    recursion, asked = trm(), batch(rows=6)
    search = Search(width=3, noise=0.5, symmetries=True, selector=LastAnswer())
    found = search.solve(recursion, asked, data=Turning())
    assert torch.equal(found.logits, recursion.solve(asked).logits)


SEARCHES = [
    Search(width=3, noise=0.8),
    Search(width=3, symmetries=True),
    Search(width=3, noise=0.8, symmetries=True, selector=FirstToHalt()),
]


@pytest.mark.parametrize("search", SEARCHES, ids=repr)
@pytest.mark.parametrize("adaptive", [True, False])
def test_an_answer_does_not_depend_on_the_batch_it_stands_in(search, adaptive):
    recursion, asked, data = trm(stopping=Soon()), batch(rows=6), Turning()
    together = fields(search.solve(recursion, asked, adaptive=adaptive, data=data))
    apart = [
        search.solve(recursion, part(asked, rows), adaptive=adaptive, data=data) for rows in ([4, 0], [2])
    ]
    order = [4, 0, 2]
    for whole, *parts in zip(together, *map(fields, apart), strict=True):
        torch.testing.assert_close(torch.cat(parts), whole[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("search", SEARCHES, ids=repr)
def test_the_seed_repeats_chains_and_another_does_not(search):
    from dataclasses import replace

    recursion, asked, data = trm(), batch(rows=6), Turning()
    first, again = (search.solve(recursion, asked, data=data) for _ in range(2))
    assert all(map(torch.equal, fields(first), fields(again)))
    other = replace(search, seed=1).solve(recursion, asked, data=data)
    assert torch.equal(first.chains.logits[:, 0], other.chains.logits[:, 0])
    assert not torch.equal(first.chains.logits[:, 1], other.chains.logits[:, 1])


def test_nothing_is_taken_from_the_global_generators():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Search(width=3, noise=0.5, symmetries=True).solve(trm(), batch(), data=Turning())
    assert torch.equal(torch.rand(3), expected)


def test_answers_of_other_guises_are_mapped_back():
    """Fails if the answer of a turned question is not turned back: chains are asked by hand."""
    recursion, asked, data = trm(), batch(rows=6), Turning()
    found = Search(width=3, symmetries=True, seed=2).solve(recursion, asked, adaptive=False, data=data)
    for chain in (1, 2):
        guise = data.symmetries(asked, 2, chain)
        other = recursion.solve(asked._replace(inputs=guise.apply(asked.inputs)), adaptive=False)
        answer = guise.undo(other.logits.argmax(dim=-1))
        assert torch.equal(found.chains.answers[:, chain], answer)
        assert not torch.equal(answer, other.logits.argmax(dim=-1))


def test_noise_is_what_is_added_before_each_segment():
    from recurlight.search.noise import disturbed

    recursion, asked = trm(), batch(rows=6)
    found = Search(width=2, noise=0.5, segments=3).solve(recursion, asked, adaptive=False)
    carry = recursion.start(asked)
    with torch.no_grad():
        for _ in range(3):
            carry = disturbed(recursion.refill(carry, asked), 0.5, (0, 1))
            carry, segment, _ = recursion.segment(carry, asked)
    assert torch.equal(found.chains.logits[:, 1], segment.logits)


def random_start():
    refiner = InjectedRefiner(mixer(), AddedInjection(), sigma=1.0)
    return Recursion(SIZES, refiner, EveryUpdate(), FixedHalting(), cycles=2, max_segments=2)


def test_a_random_start_is_another_in_each_chain():
    recursion, asked = random_start(), batch(rows=4)
    torch.manual_seed(3)
    first = Search(width=3).solve(recursion, asked)
    torch.manual_seed(3)
    again = Search(width=3).solve(recursion, asked)
    torch.manual_seed(3)
    alone = recursion.solve(asked)
    assert all(map(torch.equal, fields(first), fields(again)))
    assert torch.equal(first.chains.logits[:, 0], alone.logits)
    one, two, three = first.chains.logits.unbind(dim=1)
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)


def test_depth_may_be_more_than_was_trained():
    recursion, asked = trm(max_segments=2), batch()
    found = Search(segments=7).solve(recursion, asked, segments=3, adaptive=False)
    assert torch.equal(found.logits, recursion.solve(asked, 7, adaptive=False).logits)
    assert found.updates.tolist() == [7 * 2 * 3] * 4  # two cycles of three updates
    assert Search().solve(recursion, asked, segments=3, adaptive=False, cycles=4).updates[0] == 3 * 4 * 3


def test_residuals_are_those_of_the_last_segment():
    recursion, asked = trm(stopping=Soon(), max_segments=6), batch(rows=6)
    found = Search(selector=LowestResidual()).solve(recursion, asked)
    assert len(found.segments.unique()) > 1  # rows leave at different times
    carry, expected = recursion.start(asked), torch.zeros(6)
    with torch.no_grad():
        for count in range(1, 7):
            carry, segment, _ = recursion.segment(carry, asked)
            change = (segment.answer - segment.before).flatten(1).norm(dim=1)
            change = change / segment.answer.flatten(1).norm(dim=1)
            expected = torch.where(found.segments == count, change, expected)
    torch.testing.assert_close(found.chains.residual[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_who_waits_for_chains_that_stop_has_chains_that_stop():
    recursion = trm(stopping=Soon(), max_segments=8)
    found = Search(selector=Verified(FirstToHalt())).solve(recursion, batch(), adaptive=False, rules=Even())
    assert (found.segments < 8).any()


def test_rules_are_those_of_the_data_or_those_that_are_given():
    recursion, asked, search = trm(), batch(rows=8), Search(width=4, noise=1.5, selector=Verified())
    found = search.solve(recursion, asked, data=Turning())
    assert torch.equal(found.chains.holds, found.chains.answers[:, :, 0] % 2 == 0)
    assert all(map(torch.equal, fields(found), fields(search.solve(recursion, asked, rules=Even()))))
    assert torch.equal(found.answer[:, 0] % 2 == 0, found.chains.holds.any(dim=1))


def test_cells_of_padding_do_not_vote():
    recursion, asked = trm(), batch(rows=6)
    inputs = asked.inputs.clone()
    inputs[:, 8:] = 0
    found = Search(width=4, noise=1.5).solve(recursion, Batch(inputs, asked.labels, asked.task))
    answers = found.chains.answers[:, :, :8]
    expected = (answers[:, :, None] == answers[:, None]).all(dim=3)
    assert torch.equal(found.chains.alike, expected)


def test_questions_whose_answer_is_unknown_are_answered_alike():
    recursion, asked, search = trm(), batch(rows=6), SEARCHES[2]
    blank = asked._replace(labels=torch.full_like(asked.labels, IGNORE))
    one, other = (search.solve(recursion, each, data=Turning()) for each in (asked, blank))
    assert all(map(torch.equal, fields(one), fields(other)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Search(width=0), "width=0: give 1 or more"),
        (lambda: Search(width=2, noise=-1.0), "noise=-1.0: give 0 or more"),
        (lambda: Search(segments=0), "segments=0: give 1 or more"),
        (lambda: Search(noise=0.3), "width=1: set search.width to 2 or more"),
        (lambda: Search(symmetries=True), "width=1: set search.width to 2 or more"),
        (lambda: Search(until_holds=True).solve(trm(), batch()), "until_holds asks for the rules"),
        (lambda: Search(width=2).solve(trm(), batch()), "2 chains would be the same, .*search.symmetries"),
        (
            lambda: Search(width=2, symmetries=True).solve(trm(), batch()),
            "give Search.solve data, a PuzzleData",
        ),
        (
            lambda: Search(width=2, noise=0.3, selector=BestScore()).solve(single(), batch()),
            "FixedHalting does not judge",
        ),
    ],
)
def test_what_cannot_be_searched_is_one_line(make, words):
    with pytest.raises(IncompatibleComponents, match=words) as error:
        make()
    assert "\n" not in str(error.value)


def test_data_without_symmetries_say_so():
    with pytest.raises(DataError, match="knows no symmetries"):
        Search(width=2, symmetries=True).solve(trm(), batch(), data=Turning(known=False))


def test_a_search_can_be_written_down():
    search = Search(16, noise=0.3, selector=Verified(FirstToHalt()))
    assert from_spec(to_spec(search), Trust([])) == search


def until(recursion, asked, adaptive, segments=6):
    """Chains that end at what holds; and of plain ones, for each length, answers and whether they hold."""
    settings = {"width": 3, "noise": 1.5}
    found = Search(**settings, until_holds=True).solve(
        recursion, asked, segments, adaptive=adaptive, rules=Even()
    )
    runs = [
        Search(**settings).solve(recursion, asked, last + 1, adaptive=False, rules=Even()).chains
        for last in range(segments)
    ]
    answers, holds = (torch.stack([getattr(run, field) for run in runs]) for field in ("answers", "holds"))
    return found.chains, answers, holds  # (S, B, K, L), (S, B, K)


def test_chains_end_at_their_first_answer_that_holds():
    """Fails if one goes on from there, ends elsewhere, or loses its noise or question when others leave."""
    chains, answers, holds = until(trm(), batch(rows=8), adaptive=False)
    ever, first = holds.any(dim=0), holds.int().argmax(dim=0)
    assert ever.any()
    assert not holds[0].all()
    assert torch.equal(chains.segments, (first + 1).where(ever, 6).int())
    assert torch.equal(chains.holds, ever)
    last = (chains.segments.long() - 1)[None, ..., None].expand(1, -1, -1, 16)
    assert torch.equal(chains.answers, answers.gather(0, last)[0])


def test_what_holds_is_not_outvoted():
    """Fails if chains that agree on what breaks the rules take away an answer that keeps them."""
    asked = batch(rows=8)
    settings = {"width": 5, "noise": 1.5, "until_holds": True}
    found = Search(**settings).solve(trm(), asked, 2, adaptive=False, rules=Even())
    plain = found_in(found.chains, Majority(), 1)
    held, kept = found.chains.holds.any(dim=1), picked(found.chains.holds, found.chain)
    assert torch.equal(kept, held)
    assert not torch.equal(picked(found.chains.holds, plain.chain), held)
    assert torch.equal(found.confidence, held.float())
    again = Search(**settings, selector=Verified()).solve(trm(), asked, 2, adaptive=False, rules=Even())
    assert torch.equal(again.answer, found.answer)
    assert torch.equal(found.first(1, Majority()).answer, found.chains.answers[:, 0])


def test_chains_that_stop_by_themselves_end_no_later_for_the_rules():
    recursion, asked = trm(stopping=Soon()), batch(rows=8)
    chains, _, holds = until(recursion, asked, adaptive=True)
    alone = Search(width=3, noise=1.5).solve(recursion, asked, 6, rules=Even()).chains.segments
    first = (holds.int().argmax(dim=0) + 1).where(holds.any(dim=0), 6)
    assert torch.equal(chains.segments, torch.minimum(alone, first.int()))


class Looked(Rules):
    """Holds nothing, and keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def holds(self, questions, answers):
        self.asked.append(questions)
        return torch.zeros(len(answers), dtype=torch.bool)


def test_rules_judge_a_guise_by_the_question_in_that_guise():
    asked, data, rules = batch(rows=4), Turning(), Looked()
    Search(width=2, symmetries=True, until_holds=True).solve(trm(), asked, 1, data=data, rules=rules)
    assert torch.equal(rules.asked[0], asked.inputs)
    assert torch.equal(rules.asked[1], data.symmetries(asked, seed=0, chain=1).apply(asked.inputs))
