"""Training stops at the first value that is not finite, and its update is not applied.

Each docstring names the change to the code that makes its test fail.
"""

from __future__ import annotations

import re

import lightning.pytorch as pl
import pytest
import torch
from helpers import batch, loader, mixer, module, seeded, trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.plugins.precision import MixedPrecision

from recurlight import DurableCheckpointIO
from recurlight.callbacks import StopOnNonFinite
from recurlight.callbacks.guards import agreement, evidence
from recurlight.errors import NonFiniteError
from recurlight.halting import FixedHalting
from recurlight.optim import AdamATan2
from recurlight.refiners import SingleRefiner, SingleState
from recurlight.training.carries import magnitudes
from recurlight.truncation import EveryUpdate

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

BAD = 3
"""The step that goes wrong, of 6."""


class Spoil(pl.Callback):
    """Puts a value into one tensor of one step, and keeps the weights from before it."""

    def __init__(self, place: str, value: float) -> None:
        self.place, self.value = place, value
        self.before: dict[str, torch.Tensor] = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step + 1 == BAD:
            self.before = {name: weight.clone() for name, weight in pl_module.state_dict().items()}

    def on_before_backward(self, trainer, pl_module, loss):
        if trainer.global_step + 1 != BAD:
            return
        if self.place == "loss":
            loss.data.add_(self.value)  # its gradient stays finite
        if self.place == "carry":
            pl_module.carries[max(pl_module.carries)].state.latent[2, 5, 1] = self.value
        if self.place == "weight":
            next(pl_module.parameters()).data[0] = self.value

    def on_after_backward(self, trainer, pl_module):
        if trainer.global_step + 1 == BAD and self.place == "gradient":
            name, weight = list(pl_module.named_parameters())[1]
            self.name, _ = name, weight.grad.view(-1)[3:4].fill_(self.value)


def fit(callbacks, accumulate=1, **settings):
    model = module(optimizer=AdamATan2, **settings)
    made = trainer(max_steps=6, callbacks=callbacks, accumulate_grad_batches=accumulate)
    made.fit(model, loader([batch(4, seed=seed) for seed in range(6 * accumulate)]))
    return model


def stopped(spoil, *others, **settings):
    """Return the message with which a spoilt run ends, and its weights."""
    model = None

    class Keep(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            nonlocal model
            model = pl_module

    with pytest.raises(NonFiniteError) as caught:
        fit([Keep(), spoil, *others, StopOnNonFinite()], **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value), model.state_dict()


@pytest.fixture
def late(monkeypatch):
    """Let the answers come one step later, as on a device that the host does not wait for."""
    monkeypatch.setattr(agreement, "runs_ahead", lambda device: True)


PLACES = {
    "loss": r"on rank 0 the loss \({}\)\.",
    "gradient": r"on rank 0 the gradient of recursion\.\S+ \({}\)\.",
    "carry": r"on rank 0 latent of the carry in slot 2 \({}\)\.",
}


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", PLACES)
def test_the_step_and_the_tensor_are_named_and_the_update_is_not_applied(place, value):
    """Mutation: check after the optimizer's step, or leave one kind of tensor out."""
    spoil = Spoil(place, value)
    message, weights = stopped(spoil)
    assert message.startswith(f"training step {BAD} is not finite: ")
    assert re.search(PLACES[place].format("nan" if value != value else "inf"), message), message
    assert message.endswith("Its update was not applied; no checkpoint was written before")
    assert all(torch.equal(value, spoil.before[name]) for name, value in weights.items())
    if place == "gradient":
        assert f"the gradient of {spoil.name} " in message


@pytest.mark.parametrize("place", PLACES)
def test_on_a_device_that_is_not_waited_for_the_weights_stay_finite(place, late):
    """Mutation: leave out `silence`, or forget the evidence of the step before."""
    message, weights = stopped(Spoil(place, torch.nan))
    assert message.startswith(f"training step {BAD} is not finite: ")
    assert re.search(PLACES[place].format("nan"), message), message
    assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("delay", ["at once", "late"])
def test_a_finite_run_keeps_every_bit(accumulate, delay, request):
    """Mutation: clip or clean gradients instead of leaving them."""
    if delay == "late":
        request.getfixturevalue("late")
    watched, alone = (fit(callbacks, accumulate) for callbacks in ([StopOnNonFinite()], []))
    others = alone.state_dict()
    assert all(torch.equal(value, others[name]) for name, value in watched.state_dict().items())


def test_the_loss_of_every_micro_batch_counts():
    """Mutation: look at the last micro-batch only."""

    class First(Spoil):
        def on_before_backward(self, trainer, pl_module, loss):
            if not trainer.fit_loop._should_accumulate():
                return
            super().on_before_backward(trainer, pl_module, loss)

    message, _ = stopped(First("loss", torch.nan), accumulate=2)
    assert message.startswith(f"training step {BAD} is not finite: on rank 0 the loss (nan)")


@pytest.mark.parametrize("delay", ["at once", "late"])
def test_no_checkpoint_holds_what_a_flawed_step_left(tmp_path, delay, request):
    """Mutation: leave `on_save_checkpoint` out."""
    if delay == "late":
        request.getfixturevalue("late")
    keep = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1, save_on_exception=True)
    averaged = EMAWeightAveraging(decay=0.5, use_buffers=False)
    callbacks = [averaged, Spoil("carry", torch.nan), StopOnNonFinite(), keep]
    settings = {"enable_checkpointing": True, "plugins": [DurableCheckpointIO()]}
    made = trainer(max_steps=6, callbacks=callbacks, **settings)
    with pytest.raises(NonFiniteError) as caught:
        made.fit(module(), loader([batch(4, seed=seed) for seed in range(6)]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step=1.ckpt", "step=2.ckpt"]
    assert str(caught.value).startswith(f"training step {BAD} ")
    assert str(caught.value).endswith(f"the last checkpoint is {tmp_path}/step=2.ckpt")


def test_weights_that_overflow_in_the_optimizer_are_not_saved(tmp_path):
    """Mutation: let `on_save_checkpoint` trust that finite gradients leave finite weights."""

    class Overflow(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            if trainer.global_step == BAD:
                pl_module.recursion.encoder.token.data[1] = torch.inf

    keep = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    settings = {"enable_checkpointing": True, "plugins": [DurableCheckpointIO()]}
    made = trainer(max_steps=6, callbacks=[Overflow(), StopOnNonFinite(), keep], **settings)
    with pytest.raises(NonFiniteError) as caught:
        made.fit(module(), loader([batch(4, seed=seed) for seed in range(6)]))
    assert str(caught.value) == (
        "the weights recursion.encoder.token are not finite after training step 3; "
        f"the last checkpoint is {tmp_path}/step=2.ckpt"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step=1.ckpt", "step=2.ckpt"]


def test_a_flaw_of_the_last_step_is_told(late):
    """Mutation: leave `on_train_end` out."""

    class Last(Spoil):
        def on_before_backward(self, trainer, pl_module, loss):
            if trainer.global_step == 5:
                loss.data.fill_(torch.nan)

    assert stopped(Last("loss", 0))[0].startswith("training step 6 is not finite")


def test_weights_that_were_broken_before_are_blamed():
    """Mutation: name the loss, which is only a consequence."""

    class Broken(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, *_):
            if trainer.global_step + 1 == BAD:
                pl_module.recursion.encoder.token.data[1] = torch.nan

    with pytest.raises(NonFiniteError, match=r"the weights recursion\.encoder\.\S+ even before it"):
        fit([Broken(), StopOnNonFinite()])


def test_a_search_for_the_loss_scale_is_left_alone():
    """Mutation: judge gradients that the scaler skips."""

    def scaled(place):
        half = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
        made = trainer(max_steps=6, callbacks=[Spoil(place, torch.inf), StopOnNonFinite()], plugins=[half])
        made.fit(model := module().float(), loader([batch(4, seed=seed) for seed in range(6)]))
        return model, half.scaler

    model, scaler = scaled("gradient")
    assert all(weight.isfinite().all() for weight in model.parameters())
    assert scaler.get_scale() < 65536  # it met the infinity and skipped that step
    with pytest.raises(NonFiniteError, match=r"the loss \(inf\)\."):
        scaled("loss")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_silence_changes_all_or_nothing(dtype):
    """Mutation: multiply as floats, whose NaN survives a factor of 0."""
    made = torch.randn(4, 5, generator=seeded()).to(dtype)
    made[0, :4] = torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0])

    def bits(tensor):
        return tensor.contiguous().view(torch.uint8)

    kept, gone = made.clone(), made.t().clone().t()
    evidence.silence([kept, kept[:0]], torch.tensor(0, dtype=torch.int32))
    evidence.silence([gone, torch.ones(2, dtype=torch.float64)], torch.tensor(1, dtype=torch.int32))
    assert torch.equal(bits(kept), bits(made))
    assert not bits(gone).any()


def test_a_large_gradient_is_finite():
    """Mutation: look at the square norm, which overflows."""
    found = evidence.Evidence.of(1, [torch.ones(())], {"w": torch.full((4,), 3e38)}, [])
    assert found.flaw() == 0
    assert found.findings() == []


def test_sparse_gradients_are_looked_at():
    """Mutation: ask a sparse gradient for its norm."""
    table = torch.nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1, 3])).sum().backward()
    found = evidence.gradients(table)
    assert found["weight"].shape == (2, 2)
    table.weight.grad._values()[0, 1] = torch.nan
    assert evidence.Evidence.of(1, [torch.ones(())], found, []).findings() == ["the gradient of weight (nan)"]


def test_many_findings_are_cut_short():
    """Mutation: list every slot and parameter."""
    model = module(FixedHalting(), SingleRefiner(mixer()), EveryUpdate())
    grads = {name: torch.full((2,), torch.nan) for name, _ in model.named_parameters()}
    answer = torch.zeros(8, 16, 16)
    answer[:5, 1] = torch.inf
    fields = magnitudes(SingleState(answer))
    found = evidence.Evidence.of(1, [torch.ones(())], grads, fields).findings()
    assert found[0] == "answer of the carry in slot 0, 1, 2 and 2 more (inf)"
    assert found[1].endswith(f"and {len(grads) - 3} more (nan)")
