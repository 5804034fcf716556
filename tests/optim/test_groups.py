"""Parameter groups by parts: each trained as by an optimizer of its own settings, or not at all."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from helpers import SIZES, batch, mixer, module, trainer, trm
from resuming import Everywhere, Fitted, Shifts, deviations, disturb, model
from torch import nn
from torch.optim import SGD, AdamW, Muon
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import SWALR

from recurlight import (
    AdamATan2,
    CorrectnessHalting,
    EveryUpdate,
    FixedHalting,
    ImplicitGradient,
    LastCycles,
    LastPerLevel,
    LastUpdates,
    LinearWarmupCosine,
    NeumannGradient,
    PhantomGradient,
    Recursion,
    SingleRefiner,
    Sizes,
    SoftmaxCrossEntropy,
    SparseTable,
    SplitOptimizer,
    TokenEncoder,
    TwoLevelRefiner,
)
from recurlight.errors import IncompatibleComponents
from recurlight.optim import Parameters, chosen, freeze, make_optimizer, make_schedule

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

GROUPS = [
    {"parts": ["halting"], "lr": 0.3},
    {"parts": ["encoder", "*.down.weight"], "weight_decay": 0.0},
    {"parts": ["decoder"], "frozen": True},
]
DOWN = [f"refiner.latent.blocks.0.{part}.down.weight" for part in ("positions", "channels")]
UP = [name.replace("down", "gate_up") for name in DOWN]


def stepped(recursion, *optimizers, steps=3):
    """Weights by name after some steps along given gradients."""
    for step in range(steps):
        for number, weight in enumerate(recursion.parameters()):
            generator = torch.Generator().manual_seed(100 * step + number)
            weight.grad = torch.randn(weight.shape, generator=generator).to(weight)
        for optimizer in optimizers:
            optimizer.step()
    return {name: weight.detach().clone() for name, weight in recursion.named_parameters()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def by_hand(recursion, *rows):
    """Torch's own parameter groups, each of names and settings."""
    weights = dict(recursion.named_parameters())
    return [{"params": [weights[name] for name in names], **settings} for names, settings in rows]


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        (["halting"], ["halting.head.weight", "halting.head.bias"]),
        (["*.bias", "encoder.token"], ["encoder.token", "halting.head.bias"]),
        (["refiner", "!*.gate_up.*"], DOWN),
        (["refiner.latent.blocks.0.positions"], [UP[0], DOWN[0]]),
        (["*", "!refiner", "!halting"], ["encoder.token", "decoder.head.weight"]),
    ],
)
def test_parts_are_modules_parameters_and_patterns(parts, names):
    """Breaks when a name is matched by its beginning alone, or a module of Lightning is named otherwise."""
    assert set(chosen(trm(), parts)) == set(names)
    assert set(chosen(module(), parts)) == set(names)


def test_a_weight_with_two_names_goes_by_either():
    shared = nn.Linear(2, 2, bias=False)
    both = nn.ModuleDict({"first": shared, "second": shared})
    assert list(chosen(both, ["second"]).values()) == [shared.weight]
    with pytest.raises(IncompatibleComponents, match=r"second.weight stands in two groups, \[first\] and"):
        make_optimizer(SGD, both, [{"parts": ["first"], "lr": 1.0}, {"parts": ["second"], "lr": 2.0}])


@pytest.mark.parametrize("kind", [AdamATan2, AdamW, torch.optim.Adagrad])
def test_a_step_is_that_of_groups_made_by_hand(kind):
    """Breaks when a setting goes to another group, a frozen part decays, or one is trained twice."""
    ours, twin = trm(), trm()
    factory = partial(kind, lr=0.05, weight_decay=0.5)
    rows = by_hand(
        twin,
        (["halting.head.weight", "halting.head.bias"], {"lr": 0.3}),
        (["encoder.token", *DOWN], {"weight_decay": 0.0}),
        (UP, {}),
    )
    after = stepped(ours, make_optimizer(factory, ours, GROUPS))
    assert same(after, stepped(twin, factory(rows)))
    assert [name for name, weight in trm().named_parameters() if torch.equal(weight, after[name])] == [
        "decoder.head.weight"
    ]


def test_a_step_is_the_formula_in_float64():
    """`w - lr (g + decay w)`, with the rate and the decay of each weight's own group."""
    recursion = trm().double()
    optimizer = make_optimizer(partial(SGD, lr=0.05, weight_decay=0.5), recursion, GROUPS)
    before = {name: weight.detach().clone() for name, weight in recursion.named_parameters()}
    after = stepped(recursion, optimizer, steps=1)
    for name, weight in recursion.named_parameters():
        lr = 0.3 if name.startswith("halting") else 0.0 if name.startswith("decoder") else 0.05
        decay = 0.0 if name.startswith("encoder") or "down" in name else 0.5
        wanted = before[name] - lr * (weight.grad + decay * before[name])
        torch.testing.assert_close(after[name], wanted, rtol=0, atol=1e-14)


def test_a_group_is_divided_between_muon_and_the_rest():
    """Breaks when a group's rate reaches one half of a split optimizer alone, or its other half's weights."""
    ours, twin = trm(), trm()
    split = partial(
        SplitOptimizer, matrices=partial(Muon, lr=0.02), rest=partial(AdamATan2, lr=0.05, weight_decay=0.5)
    )
    groups = [
        {"parts": ["refiner.latent.blocks.0.channels", "encoder"], "lr": 0.3},
        {"parts": ["halting"], "betas": [0.5, 0.5]},
        {"parts": ["decoder"], "frozen": True},
    ]
    optimizer = make_optimizer(split, ours, groups)
    matrices = by_hand(twin, ([UP[1], DOWN[1]], {"lr": 0.3}), ([UP[0], DOWN[0]], {}))
    rest = by_hand(
        twin,
        (["encoder.token"], {"lr": 0.3}),
        (["halting.head.weight", "halting.head.bias"], {"betas": (0.5, 0.5)}),
    )
    two = Muon(matrices, lr=0.02), AdamATan2(rest, lr=0.05, weight_decay=0.5)
    assert same(stepped(ours, optimizer), stepped(twin, *two))
    names = [group["name"] for group in optimizer.param_groups]
    assert len({*names}) == len(names) == 4  # by which a monitor of rates tells them apart


def test_without_groups_nothing_changes():
    plain, grouped = (make_optimizer(AdamATan2, trm(), groups) for groups in (None, []))
    assert plain.state_dict() == grouped.state_dict() == AdamATan2(trm().parameters()).state_dict()


REFUSED = {
    r"group 1 names no parts: give it a list, such as parts: \[halting\]": [{"lr": 0.1}],
    r"group 2 names no parts": [GROUPS[0], {"parts": "decoder", "lr": 0.1}],
    r"\[halting\] sets nothing: give it a setting of the optimizer, such as lr, or frozen: true": [
        {"parts": ["halting"]}
    ],
    r"'haltnig' names nothing of the model; did you mean 'halting'\?": [{"parts": ["haltnig"], "lr": 0.1}],
    r"'\*norm\*' names nothing of the model; there are encoder.token, refiner.latent, decoder.head, halt": [
        {"parts": ["*norm*"], "lr": 0.1}
    ],
    r"'!norms' names nothing of the model": [{"parts": ["halting", "!norms"], "lr": 0.1}],
    r"'halting' stands there twice": [{"parts": ["halting", "halting"], "lr": 0.1}],
    r"halting.head.bias stands in two groups, \[halting\] and \[\*.bias\]: take it out of one of them, \"!": [
        {"parts": ["halting"], "lr": 0.1},
        {"parts": ["*.bias"], "lr": 0.2},
    ],
    r"\[halting, !\*\] names nothing but what it takes out": [{"parts": ["halting", "!*"], "lr": 0.1}],
    r"\[halting\] sets momentum, which AdamATan2 does not have for groups of parameters: it has a, b": [
        {"parts": ["halting"], "momentum": 0.9}
    ],
    r"\[halting\] sets weight_deca, .* did you mean 'weight_decay'\?": [
        {"parts": ["halting"], "weight_deca": 0}
    ],
    r"\[halting\] AdamATan2 got lr=-1: give 0 or more": [{"parts": ["halting"], "lr": -1}],
    r"\[halting\] AdamATan2 got lr='fast': give a finite number": [{"parts": ["halting"], "lr": "fast"}],
    r"\[halting\] is frozen, so that lr means nothing": [{"parts": ["halting"], "frozen": True, "lr": 0.1}],
    r"\[halting\] has frozen='yes': give true or false": [{"parts": ["halting"], "frozen": "yes"}],
    r"\[halting\] and \[encoder\] are frozen: write them as one group": [
        {"parts": ["halting"], "frozen": True},
        {"parts": ["encoder"], "frozen": True},
    ],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_division_is_refused_in_one_line(message):
    with pytest.raises(IncompatibleComponents, match=f"^model.optimizer_groups: {message}") as caught:
        make_optimizer(AdamATan2, trm(), REFUSED[message])
    assert "\n" not in str(caught.value)


def test_torch_says_what_a_group_may_not_be():
    groups = [{"parts": ["halting"], "lr": -1.0}]
    with pytest.raises(
        IncompatibleComponents, match=r"optimizer_groups: \[halting\] Invalid learning rate: -1"
    ):
        make_optimizer(AdamW, trm(), groups)
    with pytest.raises(IncompatibleComponents, match=r"\[refiner\] sets betas, which Muon does not have"):
        make_optimizer(SplitOptimizer, trm(), [{"parts": ["refiner"], "betas": [0.1, 0.2]}])
    with pytest.raises(IncompatibleComponents, match=r"no torch\.nn\.Linear in the cells to train"):
        make_optimizer(SplitOptimizer, trm(), [{"parts": ["refiner"], "frozen": True}])
    with pytest.raises(IncompatibleComponents, match=r"\[halting\] .*unexpected keyword argument 'lr'"):
        make_optimizer(lambda weights: SGD(weights, lr=0.1), trm(), groups)


def with_table() -> Recursion:
    sizes = Sizes(vocab=6, tokens=16, width=16, prefix=1, tasks=3)
    encoder = TokenEncoder(task_table=SparseTable(lr=0.01))
    return Recursion(
        sizes, TwoLevelRefiner(mixer(), latent_steps=1), LastCycles(1), FixedHalting(), encoder, cycles=2
    )


@pytest.mark.parametrize("settings", [{"lr": 0.1}, {"frozen": True}])
def test_a_table_is_not_taken_silently(settings):
    """Breaks when the rows go on being trained at their own rate though a group seems to set it."""
    message = (
        r"\[encoder\] takes in encoder.task_table, which no optimizer .* \"!encoder.task_table\", and set lr"
    )
    with pytest.raises(IncompatibleComponents, match=message):
        make_optimizer(AdamATan2, with_table(), [{"parts": ["encoder"], **settings}])
    with pytest.raises(IncompatibleComponents, match=r"frozen: \[encoder\] takes in encoder.task_table"):
        freeze(with_table(), ["encoder"])
    groups = [{"parts": ["encoder", "!encoder.task_table"], **settings}]
    assert len(make_optimizer(AdamATan2, with_table(), groups).param_groups) == 1 + ("lr" in settings)


def test_a_schedule_multiplies_the_rate_of_each_group():
    optimizer = make_optimizer(partial(AdamATan2, lr=0.1), trm(), GROUPS)
    schedule = make_schedule(partial(LinearWarmupCosine, warmup=2, total=6), optimizer, trm())
    for step in range(6):
        share = [0.5, 1.0, 0.8536, 0.5, 0.1464, 0.0][step]
        rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
        assert rates == {
            "halting": pytest.approx(0.3 * share, abs=1e-4),
            "encoder, *.down.weight": pytest.approx(0.1 * share, abs=1e-4),
            "others": pytest.approx(0.1 * share, abs=1e-4),
        }
        optimizer.step()
        schedule.step()


def test_a_schedule_that_levels_the_rates_is_refused_and_one_for_each_is_right():
    """Breaks when a schedule ends at one rate for all, or a list of rates is taken for one."""
    for schedule in (
        partial(OneCycleLR, max_lr=0.1, total_steps=9),
        partial(SWALR, swa_lr=0.1),
        partial(SWALR, swa_lr=[0.1, 0.2, 0.1, 0.1]),
    ):
        optimizer = make_optimizer(partial(SGD, lr=0.1, momentum=0.9), trm(), GROUPS)
        with pytest.raises(IncompatibleComponents, match=r"the same learning rate to groups|swa_lr"):
            make_schedule(schedule, optimizer, trm())
    optimizer = make_optimizer(partial(SGD, lr=0.1, momentum=0.9), trm(), GROUPS)
    once = make_schedule(
        partial(OneCycleLR, max_lr=[0.3, 0.2, 0.1], total_steps=9, div_factor=10.0), optimizer, trm()
    )
    assert once.get_last_lr() == pytest.approx([0.03, 0.02, 0.01])


TRUNCATIONS = [
    EveryUpdate(),
    LastCycles(1),
    LastUpdates(2),
    LastPerLevel({"answer": 1}),
    ImplicitGradient(backward_steps=2),
    NeumannGradient(2),
    PhantomGradient(2),
]
FROZEN = [["encoder"], ["refiner"], ["decoder"], ["halting"], ["encoder", "refiner"], ["*", "!halting"]]


@pytest.mark.parametrize("parts", FROZEN, ids=", ".join)
@pytest.mark.parametrize("truncation", TRUNCATIONS, ids=lambda truncation: type(truncation).__name__)
def test_what_is_not_frozen_is_trained_with_every_truncation(parts, truncation):
    """Breaks when a policy needs gradient from what is frozen, or something else goes without."""
    recursion = Recursion(
        SIZES, SingleRefiner(mixer()), truncation, CorrectnessHalting(), cycles=3, frozen=parts
    )
    learnt = recursion.learn(recursion.start(batch()), batch(), SoftmaxCrossEntropy(), 0)
    learnt.loss.backward()
    frozen = set(chosen(recursion, parts))
    for name, weight in recursion.named_parameters():
        assert (weight.grad is None) == (name in frozen) == (not weight.requires_grad)


def test_a_frozen_cell_may_go_without_gradient():
    """Breaks when the checks of a composition come before the freezing."""
    two = {"cycles": 2, "halting": FixedHalting(), "truncation": LastUpdates(1), "sizes": SIZES}
    with pytest.raises(IncompatibleComponents, match="level 'latent' untrained"):
        Recursion(refiner=TwoLevelRefiner(mixer(), mixer(), latent_steps=1), **two)
    Recursion(
        refiner=TwoLevelRefiner(mixer(), mixer(), latent_steps=1),
        frozen=["refiner.latent", "encoder"],
        **two,
    )


def test_freezing_all_is_refused():
    with pytest.raises(IncompatibleComponents, match=r"frozen: \[\*\] leaves nothing to train: freeze less"):
        trm(frozen=["*"])
    with pytest.raises(IncompatibleComponents, match=r"frozen: 'decodr' names nothing .* mean 'decoder'"):
        module(optimizer_groups=[{"parts": ["decodr"], "frozen": True}])


SPLIT = partial(SplitOptimizer, matrices=partial(Muon, lr=0.02), rest=partial(AdamATan2, lr=0.01))


@pytest.mark.parametrize("optimizer", [partial(AdamATan2, lr=0.01), SPLIT], ids=["whole", "split"])
def test_a_run_resumes_exactly_and_leaves_the_frozen_as_they_were(tmp_path, optimizer):
    """Breaks when averaging, clipping or a resumed state reaches what is frozen, or groups change places."""
    settings = {"optimizer": optimizer, "optimizer_groups": GROUPS}
    first = {name: value.clone() for name, value in model(**settings).state_dict().items()}
    whole = Fitted(Everywhere(tmp_path), made=model(**settings), max_steps=5, gradient_clip_val=0.1)
    disturb()
    file = tmp_path / "03-batch.ckpt"
    again = Fitted(made=model(**settings), resume=file, max_steps=5, gradient_clip_val=0.1)
    assert deviations(whole, again) == []
    weights, average = whole.left.state["weights"], whole.left.state["average"]
    assert [name for name in first if torch.equal(first[name], weights[name]) and "start" not in name] == [
        "recursion.decoder.head.weight"
    ]
    name = "recursion.decoder.head.weight"
    torch.testing.assert_close(
        first[name], average[f"module.{name}"]
    )  # Lightning averages equals, and rounds
    made = type(whole.made).load_from_checkpoint(file)
    assert [n for n, w in made.named_parameters() if not w.requires_grad] == [name]
    assert made.optimizer_groups == GROUPS


class Spy(torch.optim.SGD):
    """Notes the norm of each gradient that arrives."""

    def step(self, closure=None):
        loss = closure()
        self.seen = [w.grad.norm() for group in self.param_groups for w in group["params"]]
        return loss


def test_clipping_takes_all_groups_together():
    """Breaks when each group is clipped by a norm of its own."""
    fit = trainer(max_steps=1, limit_val_batches=0, gradient_clip_val=1e-3)
    fit.fit(model(cell=nn.Linear(8, 8), optimizer=Spy, optimizer_groups=GROUPS[:1]), Shifts())
    (optimizer,) = fit.optimizers
    assert len(optimizer.param_groups) == 2
    assert torch.stack(optimizer.seen).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_frozen_matrices_are_none_of_muons():
    groups = [{"parts": [DOWN[0]], "frozen": True}]
    assert len(Parameters(trm(), groups).matrices) == len(Parameters(trm()).matrices) - 1 == 3
