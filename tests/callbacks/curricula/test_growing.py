"""What grows with the step: windows and depths, against the formulas."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
from helpers import batch, loader, mixer, module, trainer

from callbacks.curricula.cases import Watch
from recurlight import IncompatibleComponents
from recurlight.callbacks import DepthCurriculum, Moment, WindowCurriculum
from recurlight.callbacks.curricula.window import AnswerFirst
from recurlight.halting import FixedHalting
from recurlight.refiners import SingleRefiner
from recurlight.truncation import EveryUpdate, LastPerLevel, LastUpdates

pytestmark = [pytest.mark.filterwarnings("ignore")]


def moments(total: int) -> list[Moment]:
    return [Moment(0, step, total, {}) for step in range(total)]


@pytest.mark.parametrize(("total", "share"), [(1000, 0.2), (50, 0.2), (10, 1.0), (7, 0.5), (30, 0.0)])
@pytest.mark.parametrize(("first", "last"), [(2, 5), (1, 9), (3, 3)])
def test_a_window_grows_evenly_and_is_whole_at_the_share(total, share, first, last):
    """Fails if it reaches the last update a step early or late, or grows otherwise than evenly."""
    growing = WindowCurriculum(first, last, share)
    counts = [growing.change(moment)["truncation"].count for moment in moments(total)]
    end = round(share * total)
    assert counts[end:] == [last] * (total - end)
    assert counts[:end] == [first + int((last - first) * (step / end)) for step in range(end)]
    assert counts[0] == (first if end else last)


SCHEDULE = ("latent", "latent", "latent", "answer")


@pytest.mark.parametrize(
    ("count", "latent", "answer"), [(2, 1, 1), (3, 1, 2), (4, 2, 2), (5, 3, 2), (8, 6, 2)]
)
def test_the_answer_comes_first_as_in_the_reference(count, latent, answer):
    """Fails if the levels divide the updates otherwise than `min(cycles, count - 1)` and the rest."""
    expected = LastPerLevel({"latent": latent, "answer": answer}).mask(SCHEDULE, 2)
    assert AnswerFirst(count).mask(SCHEDULE, 2) == expected
    grown = WindowCurriculum(2, 8, 0.0, answer_first=True).change(Moment(0, 0, 10, {}))
    assert grown == {"truncation": AnswerFirst(8)}


def test_one_level_has_all_updates():
    """Fails if an update is kept for levels that are not there."""
    assert AnswerFirst(2).mask(("answer",), 3) == LastUpdates(2).mask(("answer",), 3)
    with pytest.raises(IncompatibleComponents, match=r"AnswerFirst\(count=9\) .* give 1 to 8 updates"):
        AnswerFirst(9).mask(SCHEDULE, 2)


@pytest.mark.parametrize("total", [10, 100, 333])
def test_stages_begin_at_their_shares(total):
    """Fails if a stage begins a step early or late; the starts are those of the reference."""
    growing = DepthCurriculum()
    found = [(c["cycles"], c["latent_steps"]) for c in map(growing.change, moments(total))]
    second, third = round(0.3 * total), round(0.6 * total)
    assert found == [(1, 2)] * second + [(2, 4)] * (third - second) + [(3, 6)] * (total - third)


def test_latent_steps_may_be_left_alone():
    """Fails if a refiner with one level cannot have a depth that grows."""
    watch = Watch()
    growing = DepthCurriculum(cycles=[1, 3], latent_steps=None, starts=[0, 0.5])
    model = module(FixedHalting(), SingleRefiner(mixer()), EveryUpdate(), cycles=3)
    trainer(max_steps=4, callbacks=[watch, growing]).fit(model, loader([batch(4)] * 4))
    assert [found["cycles"] for _, found in watch.trained] == [1, 1, 3, 3]


def test_samples_get_fewer_segments_at_first():
    """Fails if the cap of a stage does not free the slots, or is left in force after a run."""
    ages = Ages()
    growing = DepthCurriculum([1, 1], None, [0, 0.5], max_segments=[1, 3])
    model = module(FixedHalting(), SingleRefiner(mixer()), EveryUpdate(), cycles=1, max_segments=3)
    trainer(max_steps=8, callbacks=[ages, growing]).fit(model, loader([batch(4)] * 8))
    assert ages.found == [1, 1, 1, 1, 1, 2, 3, 1]
    assert model.recursion.max_segments == 3


def test_epochs_tell_how_long_a_run_is():
    """Fails if only `max_steps` is asked."""
    watch = Watch()
    run = trainer(max_epochs=2, accumulate_grad_batches=2, callbacks=[watch, WindowCurriculum(2, 4, 1.0)])
    run.fit(module(), loader([batch(4)] * 6))
    assert [found["gradient"] for _, found in watch.trained[::2]] == [2, 2, 2, 3, 3, 3]


class Ages(pl.Callback):
    """Notes how many segments the first slot has had after each step."""

    def __init__(self):
        self.found = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.found.append(pl_module.carries[0].age[0].item())


class Counted(pl.Callback):
    """Counts the steps that were begun."""

    steps = 0

    def on_train_batch_start(self, *_):
        self.steps += 1


@pytest.mark.parametrize("curriculum", [WindowCurriculum(first=2, last=4), DepthCurriculum()])
def test_a_run_without_an_end_is_refused_before_the_first_step(curriculum):
    """Fails if the share of an endless run is taken for none of it."""
    counted = Counted()
    run = trainer(max_epochs=-1, callbacks=[counted, curriculum])
    with pytest.raises(IncompatibleComponents, match=r"no known end: set trainer\.max_steps"):
        run.fit(module(cycles=3), loader([batch(4)] * 4))
    assert counted.steps == 0


@pytest.mark.parametrize(
    ("curriculum", "message"),
    [
        (WindowCurriculum(1, 4), r"WindowCurriculum\(first=1.* leaves the encoder untrained"),
        (WindowCurriculum(2, 9), r"WindowCurriculum\(first=2, last=9.* to at most 6, or raise cycles"),
        (WindowCurriculum(2, 9, answer_first=True), r"AnswerFirst\(count=7\) .* give 1 to 6 updates"),
    ],
)
def test_a_window_that_does_not_fit_is_refused_when_the_run_is_set_up(curriculum, message):
    """Fails if a window that no step has yet is found too short or too long hours later."""
    with pytest.raises(IncompatibleComponents, match=message) as caught:
        trainer(max_steps=1, callbacks=[curriculum]).fit(module(), loader([batch(4)]))
    assert "\n" not in str(caught.value)


def test_a_refiner_without_latent_steps_is_told():
    """Fails if an attribute is set that nothing reads."""
    model = module(FixedHalting(), SingleRefiner(mixer()), EveryUpdate(), cycles=3)
    with pytest.raises(IncompatibleComponents, match="SingleRefiner lets no latent_steps be changed"):
        trainer(max_steps=1, callbacks=[DepthCurriculum()]).fit(model, loader([batch(4)]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WindowCurriculum(first=0), "WindowCurriculum got first=0: give 1 or more"),
        (lambda: WindowCurriculum(3, 2), "WindowCurriculum got last=2: give 3 or more"),
        (lambda: WindowCurriculum(share=1.1), "WindowCurriculum got share=1.1: give 0 or more and at most 1"),
        (lambda: DepthCurriculum(cycles=[0, 1, 2]), "DepthCurriculum got cycles=0: give 1 or more"),
        (lambda: DepthCurriculum(cycles=[1]), "DepthCurriculum got 1 cycles for 3 starts: give one for each"),
        (lambda: DepthCurriculum(latent_steps=[1, 2]), "DepthCurriculum got 2 latent_steps for 3 starts"),
        (lambda: DepthCurriculum(max_segments=[1, 2]), "DepthCurriculum got 2 max_segments for 3 starts"),
        (lambda: DepthCurriculum(starts=[0, 0.6, 0.3]), "DepthCurriculum got starts=[0, 0.6, 0.3]: give"),
        (lambda: DepthCurriculum(starts=[0.1, 0.3, 0.6]), "DepthCurriculum got starts=[0.1, 0.3, 0.6]"),
        (lambda: DepthCurriculum([], [], []), "DepthCurriculum got starts=[]: give rising shares"),
    ],
)
def test_numbers_out_of_range_are_refused_when_made(make, message):
    """Fails if a mistake is found only at its stage."""
    with pytest.raises(IncompatibleComponents) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
