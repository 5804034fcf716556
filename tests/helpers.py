"""Small compositions and batches that the tests of the core share."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from recurlight.cells import (
    CausalTransformerCell,
    ConvCell,
    ConvTransformerCell,
    MixerCell,
    PoolingCell,
    PreNormCell,
    TransformerCell,
)
from recurlight.halting import CorrectnessHalting, FixedHalting, Halting
from recurlight.recursion.driver import Recursion
from recurlight.refiners import SingleRefiner, TwoLevelRefiner
from recurlight.training.module import RecursiveModule
from recurlight.truncation import EveryUpdate, ImplicitGradient, LastCycles
from recurlight.types import Batch, Segment, Sized, Sizes

SIZES = Sizes(vocab=6, tokens=16, width=16)
NUMBERS = Sizes(vocab=0, tokens=16, width=16, features=2, targets=1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixer(layers: int = 1) -> MixerCell:
    return MixerCell(layers, multiple=16)


def attention(layers: int = 1, **settings) -> TransformerCell:
    return TransformerCell(layers, heads=2, multiple=16, **settings)


def pre_norm(layers: int = 1, **settings) -> PreNormCell:
    return PreNormCell(layers, heads=2, multiple=16, **settings)


def convolution(layers: int = 1, **settings) -> ConvTransformerCell:
    return ConvTransformerCell(layers, heads=2, multiple=16, **settings)


def convolutions(layers: int = 1, **settings) -> ConvCell:
    return ConvCell(layers, **settings)


def causal(layers: int = 1, **settings) -> CausalTransformerCell:
    return CausalTransformerCell(layers, heads=2, multiple=16, **settings)


def pooling(layers: int = 1, **settings) -> PoolingCell:
    return PoolingCell(layers, multiple=16, **settings)


def bound(module: nn.Module, sizes: Sizes = SIZES, seed: int = 0) -> nn.Module:
    """Build every `Sized` part, as `Recursion` does."""
    generator = seeded(seed)
    for part in list(module.modules()):
        if isinstance(part, Sized):
            part.bind(sizes, generator)
    return module


def batch(rows: int = 4, seed: int = 0, sizes: Sizes = SIZES) -> Batch:
    """Random questions; the answer turns every token into the next, so that it can be learnt."""
    inputs = torch.randint(1, sizes.vocab, (rows, sizes.tokens), generator=seeded(seed))
    labels = inputs.roll(1, dims=1)
    return Batch(inputs, labels, torch.arange(rows) % sizes.tasks)


def numbers(rows: int = 4, seed: int = 0, sizes: Sizes = NUMBERS) -> Batch:
    """Random fields; the answer is the mean of a position and the next, not supervised at the last four."""
    inputs = torch.randn(rows, sizes.tokens, sizes.features, generator=seeded(seed))
    labels = ((inputs + inputs.roll(-1, dims=1)) / 2)[:, :, : sizes.targets].clone()
    labels[:, -4:] = torch.nan
    return Batch(inputs, labels, torch.arange(rows) % sizes.tasks)


def trm(halting: Halting | None = None, sizes: Sizes = SIZES, **settings) -> Recursion:
    refiner = TwoLevelRefiner(mixer(), latent_steps=2)
    settings = {"cycles": 2, "max_segments": 4, "exploration": 0.0} | settings
    return Recursion(sizes, refiner, LastCycles(1), halting or CorrectnessHalting(), **settings)


def single(**settings) -> Recursion:
    settings = {"cycles": 3, "max_segments": 1} | settings
    return Recursion(SIZES, SingleRefiner(mixer()), EveryUpdate(), FixedHalting(), **settings)


def equilibrium(**settings) -> Recursion:
    settings = {"cycles": 6, "max_segments": 1} | settings
    return Recursion(SIZES, SingleRefiner(mixer()), ImplicitGradient(), FixedHalting(), **settings)


def opinionated(recursion: Recursion, spread: float = 1.0) -> Recursion:
    """Give a halting head weights, so that rows want to stop at different segments."""
    head = recursion.halting.head
    head.weight.data = torch.randn(head.weight.shape, generator=seeded(5)).to(head.weight) * spread
    head.bias.data.zero_()
    return recursion


def segment_of(answer: Tensor, before: Tensor | None = None) -> Segment:
    logits = torch.zeros(len(answer), 16, 6, dtype=torch.promote_types(answer.dtype, torch.float32))
    return Segment(answer.detach() if before is None else before, answer, logits)


def loader(batches: list[Batch]) -> DataLoader[Batch]:
    return DataLoader(batches, batch_size=None, shuffle=False)


def trainer(**settings) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    cpu = {"accelerator": "cpu", "devices": 1, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    return pl.Trainer(**{**quiet, **cpu, **settings})


def plain_sgd(parameters) -> torch.optim.Optimizer:
    """Its step is proportional to the gradient, which an adaptive optimizer would hide."""
    return torch.optim.SGD(parameters, lr=0.05)


def module(halting: Halting | None = None, refiner=None, truncation=None, **settings) -> RecursiveModule:
    """A float64 model whose learnt halting policy already has opinions."""
    parts = (refiner or TwoLevelRefiner(mixer(), latent_steps=2), truncation or LastCycles(1))
    base = {"width": SIZES.width, "cycles": 2, "max_segments": 4, "exploration": 0.3, "optimizer": plain_sgd}
    sizes = {"vocab_size": SIZES.vocab, "seq_len": SIZES.tokens}
    settings = base | sizes | settings
    made = RecursiveModule(
        refiner=parts[0], truncation=parts[1], halting=halting or CorrectnessHalting(), **settings
    ).double()
    if list(made.recursion.halting.parameters()):
        opinionated(made.recursion, spread=0.3)
    return made
