"""Sizes that a composition shares, and parts that make their parameters when they learn them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.spec import Recorded

__all__ = ["Sized", "Sizes"]


class Sizes(NamedTuple):
    """The sizes that a composition shares.

    Attributes:
        vocab: Vocabulary `V` of questions and answers; 0 where neither are tokens.
        tokens: Tokens of a sample, `L`.
        width: Width `D`.
        prefix: Task-prefix positions `P`.
        tasks: Number of tasks in the data.
        grid: Rows and columns that the tokens are, row by row; None where nothing tells.
        features: Numbers `F` at each position of a question; 0 where questions are tokens.
        targets: Numbers `G` at each position of an answer; 0 where answers are tokens.

    Example:
        >>> Sizes(vocab=11, tokens=81, width=512, prefix=16).positions
        97
    """

    vocab: int
    tokens: int
    width: int
    prefix: int = 0
    tasks: int = 1
    grid: tuple[int, int] | None = None
    features: int = 0
    targets: int = 0

    @property
    def positions(self) -> int:
        """Positions `N = P + L`."""
        return self.prefix + self.tokens


class Sized(Recorded, nn.Module, ABC):
    """A module that makes its parameters when the composition tells it the sizes.

    Cells, codecs, halting heads and start vectors do not repeat the width or the number of positions:
    `Recursion` calls `bind` once on every `Sized` submodule. Weights are drawn from the generator that it
    passes, never from global random state.

    A part that sets `masked` is told in `filled`, `(B, N)` bool, which positions of each row hold something,
    see `Encoder.filled_positions`, while a segment refines, decodes and scores. Otherwise `filled` is None:
    every position counts. What the part computes for padding is its own choice, as long as no filled position
    depends on it. A refiner that runs its cells again in the backward pass, to save memory, must set `filled`
    there itself.

    Example:
        >>> class Mean(Sized):
        ...     masked = True
        ...
        ...     def build(self, sizes, generator):
        ...         self.weight = nn.Parameter(torch.ones(sizes.width))
        ...
        ...     def forward(self, x):
        ...         share = torch.ones_like(x[..., :1]) if self.filled is None else self.filled[..., None]
        ...         mean = (x * share).sum(1, keepdim=True) / share.sum(1, keepdim=True)
        ...         return x + self.weight * mean
        >>> cell = Mean()
        >>> cell.bind(Sizes(vocab=6, tokens=3, width=1), torch.Generator())
        >>> cell.filled = torch.tensor([[True, True, False]])
        >>> cell(torch.tensor([[[1.0], [3.0], [9.0]]])).flatten()
        tensor([ 3.,  5., 11.], grad_fn=<ViewBackward0>)
    """

    masked: bool = False
    filled: Tensor | None = None
    offset: int = 0
    """Place of the first position in its sequence, above 0 while a sequence is read piece by piece."""
    sizes: Sizes | None = None

    @abstractmethod
    def build(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the parameters and buffers, drawing from `generator` (on the CPU) alone."""

    def expect_states(self, x: Tensor) -> None:
        """Insist that the module is built, and that `x` is `(B, N, D)`; free where it is compiled.

        Raises:
            IncompatibleComponents: With what to do.
        """
        name, sizes = type(self).__name__, self.sizes
        if sizes is None:
            raise IncompatibleComponents(f"{name} is not built: compose it in a Recursion, or call bind")
        if not isinstance(x, Tensor):
            raise IncompatibleComponents(f"{name} got a {type(x).__name__}: give a tensor (B, N, D)")
        if x.ndim != 3 or x.shape[1] != sizes.positions or x.shape[2] != sizes.width:
            raise IncompatibleComponents(
                f"{name} got {tuple(x.shape)}: give (B, N, D) with N={sizes.positions} and D={sizes.width}"
            )

    def bind(self, sizes: Sizes, generator: torch.Generator) -> None:
        """Build on first use; on later use keep the weights and require the same sizes.

        Raises:
            IncompatibleComponents: The module was built for other sizes.
        """
        if self.sizes is None:
            self.build(sizes, generator)
            self.sizes = sizes
        elif self.sizes != sizes:
            name = type(self).__name__
            raise IncompatibleComponents(
                f"{name} was already built for {self.sizes} and cannot serve {sizes}: make a new {name}"
            )
