"""Parts that are told which positions hold something."""

from __future__ import annotations

import pytest
import torch
from helpers import attention, convolution, opinionated, seeded
from torch import nn

from recurlight.codec import TokenEncoder
from recurlight.halting import CorrectnessHalting
from recurlight.losses import SoftmaxCrossEntropy
from recurlight.recursion import Recursion
from recurlight.recursion.compile import compile_cells
from recurlight.refiners import SingleRefiner, TwoLevelRefiner
from recurlight.truncation import EveryUpdate, LastCycles, PhantomGradient
from recurlight.types import IGNORE, Batch, Sized, Sizes

ROWS, SHAPE = 3, (2, 3)
LARGER = {"as it is": SHAPE, "wider": (2, 5), "wider and higher": (6, 9)}


CELLS = {
    "attention": lambda masked: attention(rotary_axes=2, masked=masked),
    "no positions": lambda masked: attention(rotary_base=None, masked=masked),
    "convolution": lambda masked: convolution(kernel=3, rotary_axes=2, kernel_axes=2, masked=masked),
}
SEQUENCES = {"attention": attention, "convolution": convolution}

COMPOSITIONS = {
    "two levels": (lambda cell: TwoLevelRefiner(cell, latent_steps=2), LastCycles(1)),
    "one level": (SingleRefiner, EveryUpdate()),
    "phantom": (SingleRefiner, PhantomGradient(steps=1)),
}


def compose(cell, shape, name="two levels", prefix=2, **settings):
    refiner, truncation = COMPOSITIONS[name]
    sizes = Sizes(6, shape[0] * shape[1], 16, prefix, tasks=2, grid=shape if shape[0] > 1 else None)
    settings = {"cycles": 2, "max_segments": 3, "exploration": 0.0} | settings
    return Recursion(sizes, refiner(cell), truncation, CorrectnessHalting(), **settings).double()


def questions(shape, own=SHAPE, rows=ROWS):
    """The same questions at the top left of a canvas, padded with token 0, which is not supervised."""
    batch = []
    for place, fill in ((0, 0), (1, IGNORE)):
        canvas = torch.full((rows, *shape), fill)
        canvas[:, : own[0], : own[1]] = torch.randint(1, 6, (rows, *own), generator=seeded(place))
        batch.append(canvas.flatten(1))
    return Batch(*batch, torch.arange(rows) % 2)


def answers(recursion, shape, own=SHAPE):
    """The logits of the cells of the question after each segment, and the halting confidence."""
    for part in recursion.unroll(questions(shape, own)):
        yield part.logits.unflatten(1, shape)[:, : own[0], : own[1]], part.confidence


@pytest.mark.parametrize("name", COMPOSITIONS)
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("larger", LARGER.values(), ids=LARGER)
def test_answers_do_not_change_with_the_amount_of_padding(kind, name, larger):
    """Fails if anything of a position of padding reaches one of the question, by whichever update."""
    tight, roomy = (compose(CELLS[kind](True), shape, name) for shape in (SHAPE, larger))
    opinionated(tight), opinionated(roomy)
    pairs = zip(answers(tight, SHAPE), answers(roomy, larger), strict=True)
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", SEQUENCES)
def test_the_place_after_the_answer_does_not_change_with_what_follows(kind):
    """Fails if the end of an answer, a position of padding, is judged by how much more padding there is."""
    found = []
    for length in (7, 12):
        recursion = compose(SEQUENCES[kind](masked=True), (1, length), prefix=1)
        prediction = recursion.solve(questions((1, length), own=(1, 6)))
        found.append(prediction.logits[:, :7])
    torch.testing.assert_close(*found, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", CELLS)
def test_cells_that_do_not_ask_see_padding_as_a_token(kind):
    """Fails if a cell is masked that did not ask, so that models of before answer otherwise."""
    found = [answers(compose(CELLS[kind](False), shape), shape) for shape in (SHAPE, (2, 5))]
    assert (next(found[0])[0] - next(found[1])[0]).abs().max() > 1e-3


@pytest.mark.parametrize("truncation", [LastCycles(1), EveryUpdate(), PhantomGradient(2)], ids=repr)
def test_gradients_do_not_change_with_the_amount_of_padding(truncation):
    """Fails if the loss of a short sample trains by what stands on padding."""
    gradients = []
    for shape in (SHAPE, (3, 5)):
        recursion = compose(CELLS["convolution"](True), shape, "one level", cycles=3)
        recursion.reconfigure(truncation=truncation)
        batch = questions(shape)
        recursion.learn(recursion.start(batch), batch, SoftmaxCrossEntropy(), step=0).loss.backward()
        gradients.append({name: weight.grad for name, weight in recursion.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=0, atol=1e-11, msg=name)


def of_two_lengths(shape=(3, 5)):
    """Short and whole questions, and a row that only fills the batch up."""
    short, whole = questions(shape), questions(shape, own=shape)
    rows = [torch.cat([a, b, torch.zeros_like(a[:1])]) for a, b in zip(short, whole, strict=True)]
    return Batch(*rows)


def test_each_row_has_its_own_padding_when_rows_leave():
    """Fails if a row that stays behind is masked as one that left."""
    recursion = opinionated(compose(CELLS["attention"](True), (3, 5), max_segments=6), spread=2.0)
    batch = of_two_lengths()
    found = recursion.solve(batch, adaptive=True)
    assert len(found.segments.unique()) > 1
    for row in range(len(batch.task)):
        alone = recursion.solve(Batch(*(field[row : row + 1] for field in batch)), adaptive=True)
        torch.testing.assert_close(found.logits[row], alone.logits[0], rtol=0, atol=1e-11)


def test_compiled_cells_are_told_too():
    """Fails if the mask of one batch is compiled in, or the cell is no single graph."""
    plain, compiled = (compose(CELLS["convolution"](True), (3, 5)) for _ in range(2))
    compile_cells(compiled.refiner, backend="eager")
    whole = of_two_lengths()
    for rows in (slice(0, 3), slice(3, 6), slice(1, 7)):
        batch = Batch(*(field[rows] for field in whole))
        found, wanted = (model.solve(batch).logits for model in (compiled, plain))
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)


class Told(Sized):
    """A cell that writes down what it was told."""

    masked = True

    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        self.weight, self.seen = nn.Parameter(torch.zeros(sizes.width)), []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(self.filled)
        if len(self.seen) > 20:
            raise KeyboardInterrupt
        return x + self.weight


def test_a_part_is_told_within_a_segment_only():
    """Fails if the mask of the last batch stays behind, be it after an error, or a prefix is padding."""
    cell = Told()
    recursion = compose(cell, SHAPE, "one level", cycles=1, max_segments=1)
    assert cell.seen == [None] * len(cell.seen)
    cell.seen.clear()
    own = questions(SHAPE, own=(1, 2))
    recursion.solve(own)
    row = [True, True, True, True, False, False, False, False]
    assert [mask.tolist() for mask in cell.seen] == [[row] * ROWS]
    assert cell.filled is None
    with pytest.raises(KeyboardInterrupt):
        recursion.solve(own, max_segments=30)
    assert cell.filled is None


def test_a_row_of_padding_alone_counts_as_filled():
    """Fails if a mean over no position, of a row that only fills a batch up, is left to every cell."""
    cell = Told()
    recursion = compose(cell, (3, 5), "one level", prefix=0, cycles=1, max_segments=1)
    cell.seen.clear()
    batch = of_two_lengths()
    recursion.solve(batch)
    (filled,) = cell.seen
    assert filled.sum(1).tolist() == [6] * ROWS + [15] * (ROWS + 1)


def test_questions_that_are_no_tokens_have_no_padding():
    """Fails if a number that is zero counts as padding."""
    encoder = TokenEncoder()
    encoder.bind(Sizes(6, 3, 16, prefix=1), seeded())
    assert encoder.filled_positions(torch.tensor([[2, 0, 0]])).tolist() == [[True, True, False, False]]
    assert encoder.filled_positions(torch.zeros(1, 3, 2)).tolist() == [[True] * 4]
