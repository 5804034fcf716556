"""What holds for every curriculum. Each test names a change of the library that makes it fail."""

from __future__ import annotations

import random
import warnings

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from helpers import batch, loader, mixer, module, trainer
from resuming import Everywhere, Fitted, deviations, disturb
from resuming import model as everything

from callbacks.curricula.cases import CASES, Watch, fit, made, plain
from recurlight import RecursiveModule, load_recursion
from recurlight.callbacks import (
    Curriculum,
    DepthCurriculum,
    Moment,
    RandomDepth,
    RandomWindow,
    WindowCurriculum,
)
from recurlight.checkpoints.contents import curricula_in
from recurlight.errors import IncompatibleComponents
from recurlight.halting import FixedHalting
from recurlight.refiners import SingleRefiner
from recurlight.training.stated import spelled
from recurlight.truncation import ImplicitGradient, LastCycles, PhantomGradient

pytestmark = [pytest.mark.filterwarnings("ignore")]

every = pytest.mark.parametrize("name", CASES)
STATED = {"cycles": 2, "updates": 6}
STEPS = 10


def moment(step: int, seed: int = 0, total: int | None = STEPS) -> Moment:
    return Moment(seed, step, total, module().recursion.stated)


def changes(name: str, **settings) -> list[dict]:
    curriculum = CASES[name][0]()
    return [curriculum.change(moment(step, **settings)) for step in range(STEPS)]


def globally_drawn() -> list[float]:
    """The next number of each global generator, as they are after `disturb`."""
    return [torch.rand(()).item(), random.random(), np.random.random()]  # noqa: NPY002


@every
def test_a_change_is_a_function_of_seed_and_step(name):
    """Fails if a curriculum keeps something, draws from a global generator, or leaves one elsewhere."""
    disturb()
    expected = globally_drawn()
    disturb()
    first = changes(name)
    assert globally_drawn() == expected
    curriculum = CASES[name][0]()
    again = {step: curriculum.change(moment(step)) for step in reversed(range(STEPS))}
    assert [again[step] for step in range(STEPS)] == first
    assert len({str(change) for change in first}) > 1
    assert all(set(change) <= set(curriculum.settings) for change in first)


@every
def test_what_is_drawn_depends_on_the_seed_and_on_the_class(name):
    """Fails if two curricula, or two runs, draw alike."""
    curriculum = CASES[name][0]()
    own, other = (curriculum.generator(moment(3, seed)).random() for seed in (0, 1))
    another = RandomWindow() if not isinstance(curriculum, RandomWindow) else RandomDepth(most=2)
    assert len({own, other, another.generator(moment(3)).random()}) == 3


@every
def test_a_step_trains_with_its_composition_and_micro_batches_share_it(name):
    """Fails if the composition is set by the batch and not by the step, or late."""
    watch, _, _ = fit(name, accumulate_grad_batches=2)
    assert [step for step, _ in watch.trained] == [step for step in range(STEPS) for _ in range(2)]
    assert all(watch.trained[2 * step] == watch.trained[2 * step + 1] for step in range(STEPS))
    expected = []
    for change in changes(name):
        made_so = made(name).recursion
        CASES[name][0]()._apply(made_so, change)
        expected.append(plain(made_so))
    assert [found for _, found in watch.trained[::2]] == expected


@every
def test_evaluation_is_untouched(name):
    """Fails if validation, a callback at the end of a batch, or what comes after sees what was drawn."""
    watch, model, run = fit(name, val_check_interval=3)
    questions = loader([batch(4, seed=5)])
    run.validate(model, questions, verbose=False)
    run.test(model, questions, verbose=False)
    run.predict(model, questions)
    assert len(watch.evaluated) == STEPS + 3 + 3
    assert all(found.items() >= STATED.items() for found in watch.evaluated)
    same = made(name)
    same.load_state_dict(model.state_dict())
    assert torch.equal(model(batch(4)).logits, same(batch(4)).logits)


class Breaks(pl.Callback):
    """Saves amid a step, with the composition of that step in force, and breaks off."""

    def __init__(self, path) -> None:
        self.path = path

    def on_before_backward(self, trainer, pl_module, loss):
        trainer.save_checkpoint(self.path / f"amid{trainer.global_step}.ckpt")
        if trainer.global_step == 7:
            raise ZeroDivisionError


@every
def test_a_checkpoint_states_the_model_and_the_curriculum(name, tmp_path):
    """Fails if a checkpoint holds what a step drew, whenever it is written, or does not say what draws."""
    model, curriculum = made(name), CASES[name][0]()
    run = trainer(max_steps=STEPS, callbacks=[Breaks(tmp_path), curriculum])
    with pytest.raises(ZeroDivisionError):
        run.fit(model, loader([batch(4, seed=step) for step in range(STEPS)]))
    run.save_checkpoint(tmp_path / "after.ckpt")
    assert plain(model.recursion).items() >= STATED.items()
    for file in ("amid4.ckpt", "amid7.ckpt", "after.ckpt"):
        loaded = RecursiveModule.load_from_checkpoint(tmp_path / file)
        assert loaded.recursion.stated == model.recursion.stated
        assert load_recursion(tmp_path / file).recursion.stated == model.recursion.stated
        settings = loaded.curricula[type(curriculum).__name__]
        assert type(curriculum)(**settings).change(moment(3)) == curriculum.change(moment(3))
        trainer().test(loaded, loader([batch(4)]), verbose=False)
        mark = loaded._fingerprint(loaded.measured)
        assert mark.curricula == loaded.curricula
        assert str(mark).endswith(f"OneSegment, {type(curriculum).__name__}")
        assert (mark.cycles, mark.schedule) == (2, 3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted runs by name, made once, and the folder of their checkpoints."""
    runs = {}

    def of(name):
        if name not in runs:
            folder = tmp_path_factory.mktemp("whole")
            runs[name] = folder, run(name, Everywhere(folder))
        return runs[name]

    return of


def run(name, *callbacks, **settings) -> Fitted:
    """A run with everything that an interruption could disturb, and a curriculum."""
    model = everything(truncation=CASES[name][1], cycles=4)
    return Fitted(*callbacks, CASES[name][0](), made=model, max_steps=STEPS, **settings)


@pytest.mark.parametrize("step", range(1, STEPS))
@every
def test_a_run_resumed_at_any_step_is_the_uninterrupted_one(whole, name, step):
    """Fails if a curriculum counts steps itself, or from where it was resumed."""
    folder, uninterrupted = whole(name)
    disturb()
    assert deviations(uninterrupted, run(name, resume=folder / f"{step:02}-batch.ckpt")) == []


def test_a_run_that_goes_on_with_another_curriculum_is_told(whole):
    """Fails if a curriculum can be lost between two runs unheard."""
    folder, _ = whole("uniform depth")
    model = everything(truncation=CASES["uniform depth"][1], cycles=4)
    with pytest.warns(UserWarning, match=r"of a run with RandomDepth\(.*most=4\) and this one has no curric"):
        Fitted(made=model, max_steps=STEPS, resume=folder / "03-batch.ckpt")
    assert set(curricula_in(torch.load(folder / "03-batch.ckpt", weights_only=True))) == {"RandomDepth"}


@pytest.mark.parametrize("others", [(RandomDepth(2.0), RandomWindow()), (RandomDepth(2.0), RandomDepth(3.0))])
def test_two_curricula_of_one_setting_refuse_each_other(others):
    """Fails if the last of them wins."""
    names = " and ".join(type(other).__name__ for other in others)
    with pytest.raises(IncompatibleComponents, match=f"{names} both change cycles with the step: keep one"):
        trainer(max_steps=1, callbacks=[*others]).fit(module(), loader([batch(4)]))


class Both(Curriculum):
    """A user's own: another cap in every other step."""

    settings = ("max_segments",)

    def change(self, moment):
        return {"max_segments": 1 + moment.step % 2}

    def extremes(self, stated):
        return [{"max_segments": 1}, {"max_segments": 2}]


def test_curricula_of_other_settings_work_together():
    """Fails if one undoes the other, or brings back what the other has set."""
    watch = Watch()
    watch.on_before_backward = lambda trainer, pl_module, loss: watch.trained.append(
        (pl_module.recursion.max_segments, pl_module.recursion.cycles)
    )
    depth = RandomDepth(least=1, most=4)
    run = trainer(max_steps=6, callbacks=[watch, Both(), depth])
    model = module()
    run.fit(model, loader([batch(4)] * 6))
    drawn = [depth.change(moment(step))["cycles"] for step in range(6)]
    assert watch.trained == [(1 + step % 2, drawn[step]) for step in range(6)]
    assert (model.recursion.max_segments, model.recursion.cycles) == (4, 2)
    assert spelled(model.curricula) == "Both() and RandomDepth(mean=None, sigma=0.5, least=1, most=4)"


def going_on(tmp_path, first, then, steps: int) -> list[str]:
    """What is warned of where a run of six steps is gone on with after three."""
    data, path = loader([batch(4)] * 12), tmp_path / "03-batch.ckpt"
    run = trainer(max_steps=6, callbacks=[first, Everywhere(tmp_path)], enable_checkpointing=True)
    run.fit(module(cycles=3), data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer(max_steps=steps, callbacks=[then]).fit(module(cycles=3), data, ckpt_path=path)
    return [str(one.message) for one in caught if "goes on, but not as" in str(one.message)]


@pytest.mark.parametrize(
    ("curriculum", "steps", "told"),
    [
        (lambda: DepthCurriculum(), 12, "of a run of 6 steps and this one has 12, in which DepthCurriculum"),
        (lambda: WindowCurriculum(2, 6, 0.9), 9, "set trainer.max_steps to 6 to go on alike"),
        (lambda: DepthCurriculum(), 6, ""),
        (lambda: RandomDepth(most=3), 12, ""),
    ],
)
def test_a_run_that_goes_on_for_another_number_of_steps_is_told(tmp_path, curriculum, steps, told):
    """Fails if stages move unheard, or a curriculum that asks for no end is held to one."""
    messages = going_on(tmp_path, curriculum(), curriculum(), steps)
    assert len(messages) == bool(told)
    assert told in "".join(messages)
    assert "\n" not in "".join(messages)


def test_tuples_and_lists_are_the_same_settings(tmp_path):
    """Fails if a run that a file began is told in Python that its curriculum is another."""
    first = DepthCurriculum((1, 2, 3), (2, 4, 6), (0.0, 0.3, 0.6))
    assert going_on(tmp_path, first, DepthCurriculum([1, 2, 3], [2, 4, 6], [0.0, 0.3, 0.6]), 6) == []


def test_a_model_of_another_kind_is_refused():
    """Fails if an attribute of ours is missed in the middle of a run."""
    with pytest.raises(IncompatibleComponents, match=r"RandomDepth changes .* and LightningModule is none"):
        RandomDepth(most=2).setup(trainer(), pl.LightningModule(), "fit")


def test_a_composition_that_some_step_would_have_is_refused_before_the_first():
    """Fails if only what the first steps draw is tried."""
    model = module(FixedHalting(), SingleRefiner(mixer()), PhantomGradient(steps=3), cycles=8)
    with pytest.raises(
        IncompatibleComponents, match=r"RandomDepth\(mean=50\.0.* sets cycles=1 in some step: Ph"
    ):
        trainer(max_steps=1, callbacks=[RandomDepth(mean=50.0)]).fit(model, loader([batch(4)]))
    assert model.recursion.cycles == 8
    trainer(max_steps=1, callbacks=[RandomDepth(mean=9.0, least=3)]).fit(model, loader([batch(4)]))


@pytest.mark.parametrize(
    ("curriculum", "own"),
    [
        (lambda: RandomDepth(most=4), "cycles from its least and most"),
        (lambda: DepthCurriculum([1, 2], None, [0.0, 0.5]), "cycles from its cycles"),
    ],
)
def test_a_solve_without_room_names_the_argument_of_the_curriculum(curriculum, own):
    """Fails if only `cycles` is named, which the model has right and the curriculum does not."""
    model = module(FixedHalting(), SingleRefiner(mixer()), ImplicitGradient(), cycles=8)
    name = type(curriculum()).__name__
    with pytest.raises(
        IncompatibleComponents,
        match=rf"sets cycles=1 in some step: Impl.* to 2 or more; {name} takes {own}, not from the model$",
    ):
        trainer(max_steps=1, callbacks=[curriculum()]).fit(model, loader([batch(4)]))


def test_a_curriculum_of_ones_own_is_told_of_its_arguments():
    class Flat(RandomDepth):
        decided_by = ()

    model = module(FixedHalting(), SingleRefiner(mixer()), ImplicitGradient(), cycles=8)
    with pytest.raises(
        IncompatibleComponents, match=r"Flat takes cycles from its arguments, not from the model$"
    ):
        trainer(max_steps=1, callbacks=[Flat(most=4)]).fit(model, loader([batch(4)]))


def waiting_for_the_residual(*callbacks):
    """Train with a callback that waits for the residual of the model's own solver."""
    stop = pl.callbacks.EarlyStopping("forward_residual", check_on_train_epoch_end=True)
    model = module(FixedHalting(), SingleRefiner(mixer()), ImplicitGradient(), cycles=8)
    trainer(max_steps=1, callbacks=[*callbacks, stop]).fit(model, loader([batch(4)]))


@pytest.mark.parametrize("curriculum", [lambda: RandomWindow(most=2), lambda: WindowCurriculum(1, 2, 1.0)])
def test_figures_of_a_solver_that_never_trains_cannot_be_monitored(curriculum):
    """Fails if a callback is left waiting for what the curriculum's windows never log."""
    with pytest.raises(IncompatibleComponents, match="'forward_residual', which this run does not log"):
        waiting_for_the_residual(curriculum())


def test_figures_of_a_solver_that_trains_can_be_monitored():
    """Fails if every curriculum is taken to replace the solver."""
    waiting_for_the_residual()
    waiting_for_the_residual(RandomDepth(least=2, most=3))


def test_a_permanent_change_stays():
    """Fails if bringing a composition back undoes what was changed for good."""
    recursion = module().recursion
    recursion.reconfigure(cycles=3, for_now=True)
    recursion.reconfigure(truncation=LastCycles(2))
    recursion.restore()
    assert (recursion.cycles, recursion.truncation) == (2, LastCycles(2))
