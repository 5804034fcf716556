"""One optimizer for the matrices of the cells, another for the rest, as one object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Muon, Optimizer

from recurlight.errors import IncompatibleComponents, suggestion
from recurlight.optim.adam_atan2 import AdamATan2, loss_of
from recurlight.optim.groups import SETTING, Group, Groups, partition
from recurlight.refiners.base import Refiner
from recurlight.spec.given import checked

__all__ = ["Parameters", "SplitOptimizer"]

Factory = Callable[[Iterable[Any]], Optimizer]


class Parameters(list[nn.Parameter]):
    """The parameters of a model in their order, which also tell the matrices of its cells, and groups.

    These are the weights of the `torch.nn.Linear` layers in the networks that a segment applies again and
    again. Embeddings, read-outs and halting heads are not among them, nor what a cell holds besides: vectors,
    kernels of convolutions, and parameters that it multiplies by itself.

    Args:
        model: A model with a `Refiner`, such as `RecursiveModule` or `Recursion`.
        groups: Groups of parameters with settings of their own; a frozen one is left out.

    Raises:
        IncompatibleComponents: The groups do not divide this model.

    Example:
        >>> from recurlight import MixerCell, SingleRefiner, Sizes
        >>> refiner = SingleRefiner(MixerCell(layers=1))
        >>> refiner.cell.bind(Sizes(vocab=6, tokens=16, width=32), torch.Generator())
        >>> [tuple(matrix.shape) for matrix in Parameters(refiner).matrices]
        [(128, 16), (16, 64), (192, 32), (32, 96)]
    """

    def __init__(self, model: nn.Module, groups: Groups | None = None) -> None:
        divided = partition(model, groups) if groups else []
        frozen = {weight for group, weights in divided if group.frozen for weight in weights}
        super().__init__(weight for weight in model.parameters() if weight not in frozen)
        self.groups = [(group, set(weights)) for group, weights in divided if not group.frozen]
        refiners = [part for part in model.modules() if isinstance(part, Refiner)]
        cells = [cell for refiner in refiners for cell in refiner.cells().values()]
        layers = (part for cell in cells for part in cell.modules() if isinstance(part, nn.Linear))
        matrices = dict.fromkeys(layer.weight for layer in layers)  # levels may share a cell
        self.matrices = [weight for weight in matrices if weight not in frozen]

    def made(self, factory: Factory, weights: Sequence[Tensor], prefix: str = "") -> Optimizer:
        """Make an optimizer of some of the parameters, each with the settings of its group.

        Args:
            factory: A class of optimizers, or a partial of one.
            weights: Parameters that it trains.
            prefix: Put before the names of the groups.

        Raises:
            IncompatibleComponents: It has no such setting for a group, or refuses its value.
        """
        if not any(group.options for group, _ in self.groups):
            return factory(list(weights))
        divided = ((group, [w for w in weights if w in members]) for group, members in self.groups)
        rows = [row for group, mine in divided if mine for row in _rows(factory, group, mine, prefix)]
        return factory(rows)


def _rows(factory: Factory, group: Group, weights: list[Tensor], prefix: str) -> Iterator[dict[str, Any]]:
    """Yield the parameter groups of one group, with all settings as the optimizer itself judges them."""
    plain = factory(weights)
    known = sorted(plain.param_groups[0].keys() - {"params"})
    for option in (option for option in group.options if option not in known):
        meant = suggestion(option, known) or f": it has {', '.join(known)}"
        raise IncompatibleComponents(
            f"{SETTING}: [{group.name}] sets {option}, which {type(plain).__name__} does not have for groups "
            f"of parameters{meant}"
        )
    try:
        own = factory(weights, **group.options)  # classes and partials take them by name
    except (TypeError, ValueError) as error:
        raise IncompatibleComponents(f"{SETTING}: [{group.name}] {' '.join(str(error).split())}") from error
    yield from ({**row, "name": prefix + group.name} for row in own.param_groups)


class SplitOptimizer(Optimizer):
    """Trains the matrices of the cells with one optimizer, everything else with another.

    Muon orthogonalizes the update of a matrix and takes nothing but matrices, so that it needs a second
    optimizer for the rest. To the trainer, the schedule and checkpoints both are one: their parameter groups
    stand in a row, each with its own learning rate, and a schedule that scales rates scales them all. What
    `optimizer_groups` set holds for either, so that a group with weights of both sets what both have. Use
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
                "SplitOptimizer found no torch.nn.Linear in the cells to train: "
                "give all parameters to one optimizer"
            )
        first = set(params.matrices)
        others = [weight for weight in params if weight not in first]
        self.parts = [params.made(matrices, params.matrices, "matrices of "), params.made(rest, others)]
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
