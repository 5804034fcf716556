"""bfloat16: the helpers, and that gradients under `bf16-mixed` point where float32's do."""

from itertools import cycle, islice

import pytest
import torch
from helpers import batch as questions
from helpers import loader, trainer
from helpers import module as small_module
from lightning.pytorch.plugins import MixedPrecision

from recurlight import (
    AdamATan2,
    CorrectnessHalting,
    FixedHalting,
    ImplicitGradient,
    LastCycles,
    LastUpdates,
    MixerCell,
    QLearningHalting,
    Recursion,
    SingleRefiner,
    Sizes,
    StablemaxCrossEntropy,
    SudokuData,
    TransformerCell,
    TwoLevelRefiner,
)
from recurlight.errors import IncompatibleComponents
from recurlight.losses import exactly_right
from recurlight.numerics import at_least_float32, full_precision, to_compute_dtype

SIZES = Sizes(vocab=6, tokens=16, width=32, prefix=1)


def attention():
    return TransformerCell(layers=1, heads=2, multiple=32)


def trm():
    refiner = TwoLevelRefiner(MixerCell(layers=1, multiple=32), latent_steps=2)
    return Recursion(SIZES, refiner, LastCycles(1), CorrectnessHalting(), cycles=3, max_segments=4)


def hrm():
    refiner = TwoLevelRefiner(attention(), attention(), latent_steps=2)
    return Recursion(SIZES, refiner, LastUpdates(2), QLearningHalting(), cycles=2, max_segments=4)


def deq():
    truncation = ImplicitGradient(backward_steps=8)
    return Recursion(SIZES, SingleRefiner(attention()), truncation, FixedHalting(), cycles=8, max_segments=1)


def step_loss(recursion, carry, batch):
    """The loss of one segment, as in training, and what it leaves behind."""
    carry, segment, score = recursion.segment(carry, batch)
    labels = carry.batch.labels
    outcome = recursion.outcome(carry, exactly_right(segment.logits, labels))
    loss = StablemaxCrossEntropy()(segment.logits, labels) + 0.5 * recursion.halting.loss(score, outcome)
    return loss.mean(), carry, segment, score


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURLIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        data = SudokuData(size=4, num_train=64, num_val=1, num_test=1, batch_size=32)
        data.setup("fit")
        return list(islice(data.train_dataloader(), 20))


@pytest.fixture(scope="module", params=[trm, hrm, deq], ids=lambda build: build.__name__)
def trained(request, batches):
    """A model after 100 steps, and its carry in the middle of training."""
    recursion = request.param()
    optimizer = AdamATan2(recursion.parameters(), lr=2e-3, weight_decay=0.1)
    carry = recursion.start(batches[0])
    for step, batch in enumerate(islice(cycle(batches), 100)):
        loss, carry, _, score = step_loss(recursion, carry, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        carry = recursion.halt(carry, score.detach(), step)
    return recursion, carry


def gradients(recursion, carry, batch, context):
    recursion.zero_grad()
    with context:
        loss = step_loss(recursion, carry, batch)[0]
    loss.backward()
    return {name: weight.grad for name, weight in recursion.named_parameters()}


def lightning():
    return MixedPrecision("bf16-mixed", "cpu").forward_context()


def weight_cache():
    return torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=True)


@pytest.mark.parametrize("context", [lightning, weight_cache])
def test_gradients_point_where_those_of_float32_do(trained, batches, context):
    recursion, carry = trained
    exact = gradients(recursion, carry, batches[0], torch.autocast("cpu", enabled=False))
    mixed = gradients(recursion, carry, batches[0], context())
    assert exact.keys() == mixed.keys()
    for name, gradient in mixed.items():
        assert gradient is not None, name
        assert gradient.dtype == torch.float32
        assert gradient.isfinite().all(), name
        cosine = torch.cosine_similarity(gradient.flatten(), exact[name].flatten(), dim=0)
        assert cosine > 0.99, (name, cosine.item())


def test_the_trainer_opens_autocast_without_the_weight_cache(batches):
    """Fails if a precision plugin of ours, or a later Lightning, switches the cache on."""
    module, seen = small_module().float(), []
    module.recursion.decoder.register_forward_hook(
        lambda *_: seen.append((torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()))
    )
    settings = {"max_steps": 1, "val_check_interval": 1, "precision": "bf16-mixed"}
    trainer(**settings).fit(module, loader(batches[:1]), loader(batches[:1]))
    assert set(seen) == {(True, False)}
    assert len(seen) > 2


def test_only_activations_are_half(trained, batches):
    recursion, carry = trained
    with lightning():
        loss, after, segment, score = step_loss(recursion, carry, batches[0])
    assert {field.dtype for field in after.state} == {torch.bfloat16}
    assert segment.answer.dtype == torch.bfloat16
    assert segment.logits.dtype == score.dtype == loss.dtype == torch.float32
    assert {weight.dtype for weight in recursion.parameters()} == {torch.float32}


def test_a_model_in_double_stays_there(batches):
    recursion = trm().double()
    loss, after, segment, score = step_loss(recursion, recursion.start(batches[0]), batches[0])
    dtypes = {t.dtype for t in (loss, segment.logits, segment.before, score, *after.state)}
    assert dtypes == {torch.float64}


@pytest.mark.parametrize(
    ("dtype", "raised"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_heads_compute_in_float32_at_least(dtype, raised):
    assert at_least_float32(torch.ones(2, dtype=dtype)).dtype == raised


def test_autocast_can_be_switched_off_inside():
    x = torch.full((4, 4), 1 + 2**-10)
    with lightning():
        with full_precision(x):
            assert torch.equal(x @ x, torch.full((4, 4), 4 * (1 + 2**-10) ** 2))
        assert (x @ x).dtype == torch.bfloat16


def test_activations_follow_autocast():
    x = torch.ones(2)
    assert to_compute_dtype(x) is x
    with lightning():
        assert to_compute_dtype(x).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.float16):
        assert to_compute_dtype(x).dtype == torch.float16


def test_the_gradient_of_weights_accumulates_over_updates_in_float32():
    """The reason for running without the weight cache: a weight used often must not lose small gradients."""
    weight = torch.ones(1, 1, requires_grad=True)
    with lightning():
        uses = torch.stack([torch.nn.functional.linear(torch.ones(1, 1), weight) for _ in range(300)])
    uses.float().sum().backward()
    assert weight.grad.item() == 300


REFUSED = ["bf16-true", "16-true"]


@pytest.mark.parametrize("precision", REFUSED)
@pytest.mark.parametrize("stage", ["fit", "validate", "predict"])
def test_weights_in_half_precision_are_refused(precision, stage):
    """Fails if the read-out meets them first, with an error about its dtypes."""
    run = trainer(precision=precision, max_steps=1)
    model = small_module().float()
    with pytest.raises(IncompatibleComponents, match=r"set trainer\.precision to bf16-mixed") as caught:
        getattr(run, stage)(model, loader([questions(4)]))
    assert "\n" not in str(caught.value)


def test_weights_in_half_precision_are_refused_without_a_trainer():
    """Fails if a model that was converted by hand, or made in half precision, ends in an error of torch."""
    with pytest.raises(IncompatibleComponents, match=r"the weights are in torch\.bfloat16"):
        trm().bfloat16().solve(questions(2))
    run = trainer(precision="bf16-true")
    with pytest.raises(IncompatibleComponents, match="bf16-mixed"), run.init_module():
        small_module()


def test_float64_trains_and_evaluates():
    """Fails if a part of the published models accepts only float32."""
    model, run = small_module().float(), trainer(precision="64-true", max_steps=2)
    data = loader([questions(4)] * 2)
    run.fit(model, data)
    assert {weight.dtype for weight in model.parameters()} == {torch.float64}
    assert {carry.state.answer.dtype for carry in model.carries.values()} == {torch.float64}
    (figures,) = run.validate(model, data, verbose=False)
    assert figures["val/loss"] > 0
