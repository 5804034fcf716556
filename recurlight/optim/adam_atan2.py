"""Adam whose division is replaced by an arc tangent, so that it has no epsilon."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from recurlight.errors import IncompatibleComponents
from recurlight.spec.given import checked

__all__ = ["AdamATan2", "adam_atan2_", "loss_of"]


def loss_of(closure: Callable[[], float] | None) -> float | None:
    """Let a closure that was handed to `step` compute loss and gradients; None where there is none."""
    if closure is None:
        return None
    with torch.enable_grad():  # steps run without
        return closure()


def adam_atan2_(
    params: list[Tensor],
    grads: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    steps: list[int],
    *,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
    a: float,
    b: float,
) -> None:
    """Apply one update of `AdamATan2` in place to lists of tensors.

    Args:
        params: Tensors to update.
        grads: Their gradients, of the same shapes and dtypes.
        means: Decayed means of the gradients.
        squares: Decayed means of the squared gradients.
        steps: Number of this update for each tensor, from 1.
        lr: Learning rate.
        betas: Decay of the means and of the squares.
        weight_decay: Decoupled decay, in units of the learning rate.
        a: Factor of the arc tangent.
        b: Factor of its second argument.
    """
    beta1, beta2 = betas
    torch._foreach_mul_(params, 1 - lr * weight_decay)
    torch._foreach_lerp_(means, grads, 1 - beta1)
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
    moves = list(torch._foreach_sqrt(squares))  # the only temporary; overwritten until it is the update
    torch._foreach_mul_(moves, [b / math.sqrt(1 - beta2**step) for step in steps])
    for mean, move in zip(means, moves, strict=True):  # torch has no atan2 over lists
        torch.atan2(mean, move, out=move)
    torch._foreach_mul_(moves, [-lr * a / (1 - beta1**step) for step in steps])
    torch._foreach_add_(params, moves)


class AdamATan2(Optimizer):
    """Adam without epsilon: its step does not depend on the scale of the loss.

    `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`,
    `p = (1 - lr weight_decay) p - lr a / (1 - beta1^t) atan2(m, b sqrt(v / (1 - beta2^t)))`.

    HRM and TRM were trained with it. As in their compiled kernel, the mean is corrected for its start at
    zero outside the arc tangent, and `a = b = 1`; a steady gradient then moves a weight by `pi / 4 lr` a
    step. Use `a = 4 / pi` to move by `lr` as Adam does, or `torch.optim.AdamW` where an epsilon is welcome.

    States have the dtype of their parameter: keep parameters in float32.

    Args:
        params: Parameters or groups of them.
        lr: Learning rate.
        betas: Decay of the mean and of the square, each from 0 to below 1.
        weight_decay: Decoupled weight decay, in units of the learning rate.
        a: Factor of the arc tangent.
        b: Factor of its second argument.
        foreach: Update all tensors of a group in a few launches, at the price of one temporary copy of
            the weights; None does so on CUDA only.

    Raises:
        IncompatibleComponents: An argument is out of range, or a gradient is sparse.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = AdamATan2([weight], lr=0.1, weight_decay=0.0)
        >>> (1e-9 * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.data
        tensor([0.9003])

    Reference:
        Everett et al., Scaling exponents across parameterizations and optimizers, arXiv:2407.05872.
    """

    @checked
    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.1,
        a: float = 1.0,
        b: float = 1.0,
        foreach: bool | None = None,
    ) -> None:
        _refuse_unless(lr >= 0, f"lr={lr}", "0 or more, as 1e-4")
        _refuse_unless(all(0 <= beta < 1 for beta in betas), f"betas={betas}", "two from 0 to below 1")
        _refuse_unless(weight_decay >= 0, f"weight_decay={weight_decay}", "0 or more, as 0.1")
        _refuse_unless(a > 0 and b > 0, f"a={a}, b={b}", "factors above 0, as 1.0")
        defaults = {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay, "a": a, "b": b}
        try:
            super().__init__(params, {**defaults, "foreach": foreach})
        except (TypeError, ValueError) as error:
            raise IncompatibleComponents(f"AdamATan2 cannot use its params ({error})") from error

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; returns what the closure, if any, returns."""
        loss = loss_of(closure)
        for group in self.param_groups:
            self._update(group)
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        """Update one group, all tensors at once or one by one."""
        params = [param for param in group["params"] if param.grad is not None]
        if not params:
            return
        settings = {key: group[key] for key in ("lr", "betas", "weight_decay", "a", "b")}
        rows = [self._row(param) for param in params]
        together = params[0].is_cuda if group["foreach"] is None else group["foreach"]
        for chunk in [rows] if together else [[row] for row in rows]:
            ps, grads, means, squares, steps = (list(column) for column in zip(*chunk, strict=True))
            adam_atan2_(ps, grads, means, squares, steps, **settings)

    def _row(self, param: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        """Return a parameter with its gradient, states and the number of this update."""
        grad = param.grad
        if grad is None or grad.layout != torch.strided:
            raise IncompatibleComponents(
                f"AdamATan2 cannot use the sparse gradient of a {tuple(param.shape)} parameter: "
                "build its embedding with sparse=False"
            )
        state = self.state[param]
        if not state:
            # An int: exact at any length, and moving states to a device cannot make it a synchronization.
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(param)
            state["exp_avg_sq"] = torch.zeros_like(param)
        state["step"] += 1
        return param, grad, state["exp_avg"], state["exp_avg_sq"], state["step"]


def _refuse_unless(fine: bool, got: str, wanted: str) -> None:
    """Raise the error of an argument out of range."""
    if not fine:
        raise IncompatibleComponents(f"AdamATan2 got {got}: give {wanted}")
