"""A frozen language model that a reasoner stands on, and the parts that read it."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from recurlight.errors import IncompatibleComponents
from recurlight.spec import Recorded
from recurlight.types import Sized, Sizes

__all__ = ["Backbone", "UsesBackbone", "hand"]

_CLOSE = 1e-3
"""How far hidden states may be from those of the same text with another end, relative to the largest."""


class Backbone(Recorded, nn.Module, ABC):
    """A trained causal model, frozen: it brings the knowledge, and the recursion beside it reasons.

    It is made once, given to `RecursiveModule` or `Recursion`, and handed by them to every part that is a
    `UsesBackbone`, so that all read the same weights. These are never trained, stay in evaluation mode, are
    in no state dict, no optimizer and no checkpoint, and move to another device or precision with the model.
    A checkpoint holds how the backbone is made, and its `identity`, by which another file is refused, and so
    are other symbols. What a subclass names as trained is the exception: it is a part of the model as any
    other, `backbone.trained`.

    A subclass makes its network, gives it to `hold`, and says how `vectors`, `hidden` and `head` come from
    it. Copies of a backbone share its weights.

    Args:
        symbols: Its own number of each of the data's tokens, `V` of them; None where both count alike. What
            is read out are the rows of these alone, however many words it knows.

    Example:
        >>> class Bigrams(Backbone):
        ...     width = 4
        ...
        ...     def __init__(self, words: int, symbols: list[int] | None = None) -> None:
        ...         super().__init__(symbols)
        ...         self.hold(nn.Embedding(words, self.width))
        ...
        ...     def vectors(self, tokens):
        ...         return self.network(tokens)
        ...
        ...     def hidden(self, embedded):
        ...         return embedded.tanh()
        ...
        ...     def head(self):
        ...         return self.network.weight
        ...
        ...     def identity(self):
        ...         return {"path": "none", "sha256": "0" * 64}
        >>> backbone = Bigrams(100, symbols=[7, 3])
        >>> backbone.embed(torch.tensor([[0, 1, 1]])).shape, backbone.readout().shape
        (torch.Size([1, 3, 4]), torch.Size([2, 4]))
        >>> list(backbone.parameters()), list(backbone.state_dict())
        ([], [])
    """

    width: int
    """Width `W` of its hidden states."""
    positions: int | None = None
    """Longest sequence that it reads, None where there is no longest."""
    network: Any
    """What `hold` was given, in a form that torch does not take for a part of this module."""
    ids: Tensor | None

    def __init__(self, symbols: list[int] | None = None) -> None:
        super().__init__()
        ids = None if symbols is None else torch.tensor(symbols, dtype=torch.int64)
        self.register_buffer("ids", ids, persistent=False)

    def hold(self, network: nn.Module, trained: dict[str, nn.Module] | None = None) -> None:
        """Keep a network, frozen and in evaluation mode for good, but for parts of it that are trained."""
        vars(self)["network"] = network.requires_grad_(False).eval()
        self.trained = nn.ModuleDict(trained).requires_grad_(True)

    @abstractmethod
    def vectors(self, tokens: Tensor) -> Tensor:
        """Look up its own tokens, `(B, n)` int64, as its first layer takes them, `(B, n, W)`."""

    @abstractmethod
    def hidden(self, embedded: Tensor) -> Tensor:
        """Run it on vectors, `(B, n, W)`, up to what its head reads, `(B, n, W)`.

        Gradient may flow through it to the vectors; no position sees what comes after it.
        """

    @abstractmethod
    def head(self) -> Tensor:
        """Return the weights of its head, one row for each of its own tokens, `(rows, W)`."""

    @abstractmethod
    def identity(self) -> dict[str, str]:
        """Return the file that its weights are from, under `path`, and the hash of it, under `sha256`.

        What else decides what it computes has its hash under a name of its own, such as that of a file.
        """

    def embed(self, tokens: Tensor) -> Tensor:
        """Look up the data's tokens, `(B, n)` int64, as `vectors` does."""
        return self.vectors(tokens if self.ids is None else self.ids[tokens])

    def readout(self) -> Tensor:
        """Return the rows of `head` of the data's tokens, `(V, W)`."""
        return self.head() if self.ids is None else self.head()[self.ids]

    def train(self, mode: bool = True) -> Self:
        """Draw nothing, in training neither: what is trained runs without dropout, too."""
        super().train(mode)
        for part in self.trained.values():
            part.eval()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the network with the model."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call,unused-ignore]
        moved = {*self.trained.modules()}
        with _tied(self.network), _new_parameters():
            for module in self.network.modules():
                if module not in moved:
                    module._apply(fn, recurse=False)  # type: ignore[no-untyped-call,unused-ignore]
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Share the weights that nobody changes; moving one of the two leaves the other where it is."""
        weights = chain(self.network.parameters(), self.network.buffers())
        memo |= {id(weight): weight for weight in weights if not weight.requires_grad}
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin


@contextmanager
def _new_parameters() -> Iterator[None]:
    """Let torch put moved weights in the place of the old ones, which a copy may share."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


@contextmanager
def _tied(network: nn.Module) -> Iterator[None]:
    """Let weights that are one, as a head that is the embedding, be one afterwards, too."""
    before: dict[int, Tensor] = {}
    places = [
        (module, name, before.setdefault(id(weight), weight))
        for module in network.modules()
        for name, weight in module.named_parameters(recurse=False)
    ]
    yield
    after: dict[int, Tensor] = {}
    for module, name, weight in places:
        setattr(module, name, after.setdefault(id(weight), getattr(module, name)))


class UsesBackbone(Sized):
    """A part that reads a frozen model; derive from it beside `Encoder`, `Decoder` or another base.

    The composition hands the backbone over before it builds the part.

    Example:
        >>> from recurlight import Decoder
        >>> class OwnHead(UsesBackbone, Decoder):
        ...     def build(self, sizes, generator):
        ...         self.gain = nn.Parameter(torch.ones(self.backbone.width))
        ...
        ...     def forward(self, answer):
        ...         return (self.gain * answer) @ self.backbone.readout().T
    """

    runs: ClassVar[bool] = True
    """Whether it calls `Backbone.hidden`, so that gradient comes to what of the backbone is trained."""

    def take(self, backbone: Backbone) -> None:
        """Keep a backbone that is a part of the composition, and not of this."""
        vars(self)["_backbone"] = backbone

    @property
    def backbone(self) -> Backbone:
        """What the composition was given."""
        found: Backbone | None = vars(self).get("_backbone")
        if found is None:
            raise IncompatibleComponents(_wanted(self))
        return found


def _wanted(part: nn.Module) -> str:
    return (
        f"{type(part).__name__} reads a frozen model and there is none: set model.backbone, such as to "
        "TrainedBackbone with the checkpoint of a causal model"
    )


def hand(model: nn.Module, backbone: Backbone | None, sizes: Sizes) -> None:
    """Give a backbone to every part of a model that uses one.

    Args:
        model: The whole composition.
        backbone: None where there is none.
        sizes: Sizes of the composition.

    Raises:
        IncompatibleComponents: A part wants one and there is none, there is one that no part wants, or it
            cannot serve these sizes.
    """
    users = [part for part in model.modules() if isinstance(part, UsesBackbone)]
    if backbone is not None and not users:
        raise IncompatibleComponents(
            f"model.backbone is a {type(backbone).__name__} that no part reads: set model.encoder to "
            "HiddenEncoder and model.decoder to HeadDecoder, or leave the backbone out"
        )
    if backbone is not None and len(backbone.trained) and not any(user.runs for user in users):
        readers = " and ".join(type(user).__name__ for user in users)
        raise IncompatibleComponents(
            f"{type(backbone).__name__} has layers that are trained, and {readers} does not run them: set "
            "model.encoder to HiddenEncoder, or model.backbone.layers to null"
        )
    for part in users:
        if backbone is None:
            raise IncompatibleComponents(_wanted(part))
        part.take(backbone)
    if backbone is not None:
        _check(backbone, sizes)


@torch.no_grad()
def _check(backbone: Backbone, sizes: Sizes) -> None:
    """Read two sequences that differ in the last token only, and hold the backbone to the contract."""
    _check_symbols(backbone, sizes)
    tokens = torch.zeros(2, min(3, sizes.tokens), dtype=torch.int64, device=backbone.head().device)
    tokens[1, -1] = sizes.vocab - 1
    hidden, name = backbone.hidden(backbone.embed(tokens)), type(backbone).__name__
    if hidden.shape != (*tokens.shape, backbone.width) or backbone.head().shape[1] != backbone.width:
        raise IncompatibleComponents(
            f"{name} of width {backbone.width} makes hidden states {tuple(hidden.shape)} of tokens "
            f"{tuple(tokens.shape)}, and has a head {tuple(backbone.head().shape)}: make them (B, n, W) and "
            "(rows, W)"
        )
    one, other = hidden[:, :-1].float()
    if not torch.allclose(one, other, rtol=0, atol=_CLOSE * float(hidden.abs().max())):
        raise IncompatibleComponents(
            f"{name} is no causal model: a hidden state depends on what comes after it, or is drawn anew; "
            "give one of cells such as CausalTransformerCell, whose start is not drawn"
        )


def _check_symbols(backbone: Backbone, sizes: Sizes) -> None:
    """Refuse a backbone that knows other symbols than the data have, or reads shorter sequences."""
    name, rows = type(backbone).__name__, len(backbone.head())
    if backbone.ids is not None and not 0 <= int(backbone.ids.min()) <= int(backbone.ids.max()) < rows:
        raise IncompatibleComponents(f"{name} knows {rows} tokens: give symbols from 0 to {rows - 1}")
    if len(backbone.readout()) != sizes.vocab:
        raise IncompatibleComponents(
            f"{name} reads out {len(backbone.readout())} tokens and the data have {sizes.vocab}: set "
            "model.backbone.symbols to its own number of each of the data's tokens"
        )
    if backbone.positions is not None and sizes.tokens > backbone.positions:
        raise IncompatibleComponents(
            f"{name} reads {backbone.positions} tokens at most and the data have {sizes.tokens}: give "
            "shorter sequences, or a backbone that was trained on longer ones"
        )
