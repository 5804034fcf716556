"""One optimizer for the matrices of the cells, another for the rest, as one object."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Muon, Optimizer

from recurlight.errors import IncompatibleComponents
from recurlight.optim.adam_atan2 import AdamATan2, loss_of
from recurlight.refiners.base import Refiner
from recurlight.spec.given import checked

__all__ = ["Parameters", "SplitOptimizer"]

Factory = Callable[[Iterable[Any]], Optimizer]


class Parameters(list[nn.Parameter]):
    """The parameters of a model in their order, which also tell the matrices of its cells.

    These are the weights of the `torch.nn.Linear` layers in the networks that a segment applies again and
    again. Embeddings, read-outs and halting heads are not among them, nor what a cell holds besides: vectors,
    kernels of convolutions, and parameters that it multiplies by itself.

    Args:
        model: A model with a `Refiner`, such as `RecursiveModule` or `Recursion`.

    Example:
        >>> from recurlight import MixerCell, SingleRefiner, Sizes
        >>> refiner = SingleRefiner(MixerCell(layers=1))
        >>> refiner.cell.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator())
        >>> [tuple(matrix.shape) for matrix in Parameters(refiner).matrices]
        [(128, 16), (16, 64), (192, 32), (32, 96)]
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model.parameters())
        refiners = [part for part in model.modules() if isinstance(part, Refiner)]
        cells = [cell for refiner in refiners for cell in refiner.cells().values()]
        layers = (part for cell in cells for part in cell.modules() if isinstance(part, nn.Linear))
        self.matrices = list(dict.fromkeys(layer.weight for layer in layers))  # levels may share a cell


class SplitOptimizer(Optimizer):
    """Trains the matrices of the cells with one optimizer, everything else with another.

    Muon orthogonalizes the update of a matrix and takes nothing but matrices, so that it needs a second
    optimizer for the rest. To the trainer, the schedule and checkpoints both are one: their parameter groups
    stand in a row, each with its own learning rate, and a schedule that scales rates scales them all. Use
    `AdamATan2` alone where one rule fits all weights, as published.

    ```yaml
    optimizer:
      class_path: SplitOptimizer
      init_args:
        matrices: {class_path: torch.optim.Muon, init_args: {lr: 0.02}}
        rest: {class_path: AdamATan2, init_args: {lr: 1.0e-4}}
    ```

    Args:
        params: The model's `Parameters`, as `RecursiveModule` gives them.
        matrices: Makes the optimizer of the cells' matrices.
        rest: Makes the optimizer of all other parameters.

    Raises:
        IncompatibleComponents: The parameters do not tell the matrices, or there are none.

    Example:
        >>> from recurlight import FixedHalting, EveryUpdate, MixerCell, Recursion, SingleRefiner, Sizes
        >>> sizes, refiner = Sizes(vocab=6, tokens=16, width=32), SingleRefiner(MixerCell(layers=1))
        >>> model = Recursion(sizes, refiner, EveryUpdate(), FixedHalting())
        >>> optimizer = SplitOptimizer(Parameters(model))
        >>> [(len(group["params"]), group["lr"]) for group in optimizer.param_groups]
        [(4, 0.001), (2, 0.0001)]

    Reference:
        Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.
    """

    @checked
    def __init__(self, params: Iterable[Any], matrices: Factory = Muon, rest: Factory = AdamATan2) -> None:
        if not isinstance(params, Parameters):
            raise IncompatibleComponents(
                "SplitOptimizer cannot tell the cells' matrices among plain params: "
                "give it recurlight.optim.Parameters(model)"
            )
        if not params.matrices:
            raise IncompatibleComponents(
                "SplitOptimizer found no torch.nn.Linear in the cells: give all parameters to one optimizer"
            )
        first = set(params.matrices)
        self.parts = [matrices(params.matrices), rest([weight for weight in params if weight not in first])]
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let both optimizers work on the groups and states of this one."""
        start = 0
        for part in self.parts:
            end = start + len(part.param_groups)
            part.param_groups, part.state, start = self.param_groups[start:end], self.state, end

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "parts": self.parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up groups and states, as of a checkpoint."""
        super().__setstate__(state)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group that neither optimizer updates, as those of tables.

        Raises:
            IncompatibleComponents: It has parameters, which nobody would train.
        """
        known = [group for part in self.parts for group in part.param_groups]
        if list(param_group["params"]) and not any(param_group is group for group in known):
            raise IncompatibleComponents("SplitOptimizer takes no more parameters: give it all at once")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; returns what the closure, if any, returns."""
        loss = loss_of(closure)
        for part in self.parts:
            part.step()
        return loss
