"""No position of a causal model sees what comes after it, and reading token by token is reading at once."""

from __future__ import annotations

import pytest
import torch
from causal_models import CELLS, REFINERS, SIZES, asked, in_pieces, model, usual, whole
from cells.test_contract import BUILT
from helpers import causal, seeded

from recurlight import draw
from recurlight.codec import DeepDecoder, DeepEncoder, TokenEncoder
from recurlight.errors import IncompatibleComponents

CODECS = {
    "plain": dict,
    "prelude and coda": lambda: {"encoder": DeepEncoder(causal()), "decoder": DeepDecoder(causal())},
    "learned positions": lambda: {"encoder": TokenEncoder(learned_positions=True)},
}
COMPOSED = [
    *((refiner, cell, "plain") for refiner in REFINERS for cell in CELLS),
    *(("TwoLevelRefiner", cell, codec) for cell in CELLS for codec in list(CODECS)[1:]),
]


@pytest.fixture(params=COMPOSED, ids=", ".join)
def parts(request):
    """Make a refiner and the codec of a composition."""
    refiner, cell, codec = request.param
    return lambda: (REFINERS[refiner](CELLS[cell]), CODECS[codec]())


def text(rows=2, seed=3):
    return torch.randint(1, SIZES.vocab, (rows, SIZES.tokens), generator=seeded(seed))


def test_what_is_meant_to_be_causal_is():
    assert "CausalTransformerCell" in CELLS
    assert {"MixerCell", "TransformerCell"}.isdisjoint(CELLS)


@pytest.mark.parametrize("cell", BUILT)
def test_a_model_writes_if_its_cell_looks_at_nothing_ahead(cell):
    """Fails if the trial lets a cell pass that sees the future, or refuses one that does not."""
    recursion = usual(BUILT[cell], sizes=SIZES._replace(tokens=16))
    if cell in CELLS:
        assert len(list(recursion.generate([1, 2], 2))) <= 2
    else:
        with pytest.raises(IncompatibleComponents, match="give it cells such as CausalTransformerCell"):
            next(recursion.generate([1, 2], 2))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_tokens_read_one_by_one_are_tokens_read_together(parts, dtype, close):
    """Fails if a slot of the memory is another call's, positions are off by one, or a piece is not causal."""
    refiner, codec = parts()
    recursion, read = model(refiner, dtype, **codec), text()
    found = in_pieces(recursion, read, (0, 5, 6, 9, 10, 11, 12))  # pieces of several tokens, and of one
    torch.testing.assert_close(found, whole(recursion, read), rtol=0, atol=close)


@pytest.mark.parametrize("precision", ["float32", "bfloat16 autocast"])
def test_another_token_changes_nothing_before_it(parts, precision):
    refiner, codec = parts()
    recursion, before = model(refiner, torch.float32, **codec), text(1, seed=5)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"):
        known = whole(recursion, before, 2)
        for place in (0, 1, 6, 11):
            other = before.clone()
            other[0, place] = 1 + before[0, place] % 8
            found = whole(recursion, other, 2)
            assert torch.equal(found[:, :place], known[:, :place])
            assert not torch.equal(found[:, place], known[:, place])


@pytest.mark.parametrize("prefix", [0, 2])
def test_a_loss_teaches_no_position_after_it(parts, prefix):
    """In training: the gradient of the logits at `s` by the embedding at `t` is none for `t > s` alone."""
    refiner, codec = parts()
    recursion = model(refiner, sizes=SIZES._replace(prefix=prefix), **codec).train()
    told: list[torch.Tensor] = []
    embedding = recursion.encoder.tokens if isinstance(recursion.encoder, DeepEncoder) else recursion.encoder
    embedding.register_forward_hook(lambda *args: told.append(args[-1]))
    with draw.still():
        _, segment, _ = recursion.segment(recursion.start(asked(text())), asked(text()))
    for place in (0, 4, 11):
        (found,) = torch.autograd.grad(segment.logits[:, place].square().sum(), told[-1], retain_graph=True)
        reached = found.abs().amax(-1) > 0  # (B, N)
        assert not reached[:, prefix + place + 1 :].any()
        assert reached[:, prefix + place].all()
