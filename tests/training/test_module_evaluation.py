"""The LightningModule in validation, test and prediction, and what it refuses."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from helpers import batch, loader, mixer, module, trainer
from noisy import noisy

from recurlight import slots
from recurlight.checkpoints.weights import require_same_weights
from recurlight.errors import CheckpointMismatch, IncompatibleComponents
from recurlight.halting import FixedHalting
from recurlight.losses import StablemaxCrossEntropy
from recurlight.metrics import ExactByGroup
from recurlight.refiners import TwoLevelRefiner
from recurlight.search import LastAnswer, Search
from recurlight.stopping import AsTrained, ConfidentJudge
from recurlight.training.module import RecursiveModule
from recurlight.truncation import ImplicitGradient
from recurlight.types import Batch, Sizes

ROWS = 6
BATCHES = [batch(ROWS, seed=1), batch(2, seed=2)]


def whole(parts: list[Batch]) -> Batch:
    return Batch(*(torch.cat(leaves) for leaves in zip(*parts, strict=True)))


def half_right(made) -> list[Batch]:
    """Batches of which some rows have the labels that the model will predict after three segments."""
    found = [made.recursion.solve(part, 3, adaptive=False).logits.argmax(-1) for part in BATCHES]
    right = [torch.arange(len(part.task)) % 3 == 1 for part in BATCHES]
    triples = zip(BATCHES, found, right, strict=True)
    return [part._replace(labels=slots.choose(rows, own, part.labels)) for part, own, rows in triples]


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_figures_are_those_of_all_rows_together(stage):
    made = module(eval_segments=3)
    (found,) = getattr(trainer(), stage)(made, loader(half_right(made)), verbose=False)
    name = "val" if stage == "validate" else "test"
    logits = made.recursion.solve(whole(BATCHES), 3, adaptive=False).logits
    labels = whole(half_right(made)).labels
    loss = StablemaxCrossEntropy()(logits, labels).mean().item()
    assert found[f"{name}/loss"] == pytest.approx(loss)
    assert found[f"{name}/token_accuracy"] == pytest.approx(
        (logits.argmax(-1) == labels).double().mean().item()
    )
    assert found[f"{name}/exact_accuracy"] == found[f"{name}/exact_at_3"] == pytest.approx(3 / 8)
    assert found[f"{name}/exact_at_1"] < 3 / 8
    assert found[f"{name}/segments"] == 3


def evaluated(made, ambient: int) -> tuple:
    """Everything that evaluation says, from global generators that are somewhere."""
    torch.manual_seed(ambient)
    data = loader(BATCHES)
    figures = [getattr(trainer(), stage)(made, data, verbose=False) for stage in ("validate", "test")]
    answers = [part.logits for part in trainer().predict(made, data)]
    return figures, torch.cat(answers)


def test_a_refiner_that_draws_is_evaluated_repeatably():
    """Fails if evaluation draws from wherever the generators happen to be, or moves them on."""
    with torch.random.fork_rng(devices=[]):
        made = module(refiner=noisy())
        (figures, answers), again = evaluated(made, 1), evaluated(made, 2)
        other = module(refiner=noisy(), seed=1)
        other.load_state_dict(made.state_dict())
        drawn = evaluated(other, 1)[1]
    assert figures == again[0]
    assert torch.equal(answers, again[1])
    assert not torch.equal(answers, drawn)


def test_evaluation_has_a_seed_of_its_own(tmp_path):
    """Fails if `eval_seed` is not used, is lost in a checkpoint, or reaches weights or training."""
    made, other = module(refiner=noisy()), module(refiner=noisy(), eval_seed=1)
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), other.parameters(), strict=True))
    with torch.random.fork_rng(devices=[]):
        answers = [evaluated(model, 1)[1] for model in (made, other, made, other)]
        same = evaluated(module(refiner=noisy(), eval_seed=0), 1)[1]
        trained = [trainer(max_steps=2), trainer(max_steps=2)]
        for run, model in zip(trained, (made, other), strict=True):
            run.fit(model, loader([batch(4)] * 2))
        assert all(torch.equal(a, b) for a, b in zip(made.parameters(), other.parameters(), strict=True))
        trained[1].save_checkpoint(tmp_path / "x.ckpt")
        assert RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt").eval_seed == 1
    assert not torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])
    assert torch.equal(answers[1], answers[3])
    assert torch.equal(answers[0], same)


def test_making_and_evaluating_a_model_leaves_the_generators_alone():
    """Fails if checks of the composition, slots that are thrown away, or an evaluation move them on."""
    before = torch.get_rng_state()
    made = module(refiner=noisy())
    made.recursion.start(BATCHES[0])
    made.validation_step(BATCHES[0], 1)  # 0 also asks the trainer for the data
    made.predict_step(BATCHES[0], 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_runs_as_many_segments_as_training_unless_told():
    assert module(max_segments=4)(batch(2)).segments.tolist() == [4, 4]
    assert module(max_segments=4, eval_segments=9)(batch(2)).segments.tolist() == [9, 9]
    with pytest.raises(IncompatibleComponents, match="got eval_segments=0: give 1 or more"):
        module(eval_segments=0)


def test_evaluation_may_run_other_cycles():
    other = module(cycles=5)(batch(2)).logits
    assert torch.equal(module(cycles=2, eval_cycles=5)(batch(2)).logits, other)
    assert not torch.equal(module(cycles=2)(batch(2)).logits, other)
    with pytest.raises(IncompatibleComponents, match="got eval_cycles=0: give 1 or more"):
        module(eval_cycles=0)


def test_evaluation_may_be_adaptive():
    made = module(eval_adaptive=True, eval_segments=8, eval_halting=AsTrained())
    segments = made(batch(ROWS)).segments
    assert len(segments.unique()) > 1
    (found,) = trainer().validate(made, loader([batch(ROWS)]), verbose=False)
    assert found["val/segments"] == pytest.approx(segments.float().mean().item())
    assert "val/exact_at_8" in found


@pytest.mark.parametrize(("adaptive", "measured", "answered"), [(None, 8, 1), (True, 1, 1), (False, 8, 8)])
def test_figures_are_of_all_segments_and_answers_stop_early_unless_told(adaptive, measured, answered):
    """Fails if validation saves what it should measure, or prediction spends what it could save."""
    made = module(eval_adaptive=adaptive, eval_segments=8, eval_halting=ConfidentJudge(0.0))
    (found,) = trainer().validate(made, loader([batch(ROWS)]), verbose=False)
    assert found["val/segments"] == measured
    (prediction,) = trainer().predict(made, loader([batch(ROWS)]))
    assert prediction.segments.tolist() == made(batch(ROWS)).segments.tolist() == [answered] * ROWS


def test_predictions_come_batch_by_batch():
    made = module(eval_segments=2)
    found = trainer().predict(made, loader(BATCHES))
    assert [len(part.logits) for part in found] == [ROWS, 2]
    wanted = made.recursion.solve(BATCHES[1], 2, adaptive=False)
    assert torch.equal(found[1].logits, wanted.logits)


def test_a_second_evaluation_forgets_the_first():
    made, run = module(), trainer()
    run.validate(made, loader([batch(ROWS, seed=5)]), verbose=False)
    (again,) = run.validate(made, loader(BATCHES), verbose=False)
    (alone,) = trainer().validate(module(), loader(BATCHES), verbose=False)
    assert again == alone


def test_the_table_is_shown_unless_training_goes_on(capsys):
    made, head = module(), "exact accuracy after segments"
    trainer(max_steps=1, val_check_interval=1).fit(made, loader([batch(4)]), loader(BATCHES))
    assert head not in capsys.readouterr().out
    assert made.measured.table.startswith(head)
    for stage in ("validate", "test"):
        getattr(trainer(), stage)(made, loader(BATCHES), verbose=False)
        assert head in capsys.readouterr().out
    made.show_table()
    assert head in capsys.readouterr().out


def test_a_training_ends_with_the_residuals_of_its_solves(capsys):
    """Fails if one has to open a log to see whether an implicit gradient was one."""
    made = module(truncation=ImplicitGradient(), cycles=3, halting=FixedHalting(), max_segments=1)
    trainer(max_steps=1, val_check_interval=1).fit(made, loader([batch(4)]), loader(BATCHES))
    made.show_table()
    (told,) = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("last training step:")
    ]
    figures = made.recursion.truncation.diagnostics()
    for name in ("forward_residual", "backward_residual"):
        assert f"{name} {figures[name].item():.2g}" in told
    plain = module()
    trainer(max_steps=1, val_check_interval=1).fit(plain, loader([batch(4)]), loader(BATCHES))
    plain.show_table()
    assert "last training step" not in capsys.readouterr().out


def test_the_summary_is_stale_once_the_weights_have_moved():
    made = module()
    assert made.summary_is_stale()
    train = loader([batch(4, seed=step) for step in range(3)])
    trainer(max_steps=2, val_check_interval=2).fit(made, train, loader(BATCHES))
    assert not made.summary_is_stale()
    trainer(max_steps=3, val_check_interval=2).fit(made, train, loader(BATCHES))
    assert made.summary_is_stale()


def test_the_summary_is_stale_after_as_many_steps_of_another_trainer():
    """Fails if the number of steps alone says what was validated."""
    made, train = module(), loader([batch(4, seed=step) for step in range(2)])
    trainer(max_steps=2, val_check_interval=2).fit(made, train, loader(BATCHES))
    trainer(max_steps=2).fit(made, train)
    assert made.summary_is_stale()


def test_the_sanity_check_does_not_count_as_validation():
    made, stale = module(), []

    class Look(pl.Callback):
        def on_sanity_check_end(self, trainer, pl_module):
            stale.append(pl_module.summary_is_stale())

    run = trainer(max_steps=1, num_sanity_val_steps=1, limit_val_batches=1, callbacks=[Look()])
    run.fit(made, loader([batch(4)]), loader(BATCHES))
    assert stale == [True]


LONGER = batch(4, sizes=Sizes(vocab=6, tokens=25, width=16))
RICHER = batch(4, sizes=Sizes(vocab=9, tokens=16, width=16))
ANSWERS = batch(4)._replace(labels=torch.full((4, 16), 6))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (LONGER, ["25 tokens", "seq_len=16"]),
        (RICHER, ["the highest 8", "vocab_size=6"]),
        (ANSWERS, ["the highest 6", "vocab_size=6"]),
    ],
    ids=["tokens", "questions", "answers"],
)
def test_data_of_other_sizes_is_refused(wrong, words):
    with pytest.raises(IncompatibleComponents) as refusal:
        trainer(max_steps=1).fit(module(), loader([wrong]))
    message = str(refusal.value)
    assert all(word in message for word in words)
    assert message.endswith("pass the data module's seq_len and vocab_size to the model")
    assert "\n" not in message


def test_a_ragged_training_batch_is_refused():
    ragged = [batch(4, seed=1), slots.take(torch.arange(3), batch(4, seed=2))]
    with pytest.raises(
        IncompatibleComponents, match=r"\(3, 16\) follows one of shape \(4, 16\).*drop_last=True"
    ):
        trainer(max_steps=2).fit(module(), loader(ragged))


def saved(path, made):
    run = trainer(max_steps=1, default_root_dir=path)
    run.fit(made, loader([batch(4)]))
    run.save_checkpoint(path / "model.ckpt")
    return str(path / "model.ckpt")


@pytest.mark.parametrize("save_carry", [True, False])
def test_a_checkpoint_restores_weights_steps_and_slots(tmp_path, save_carry):
    """Fails if a resumed run drops what its slots were working on, or keeps it where that is switched off."""
    first = module(save_carry=save_carry)
    file = saved(tmp_path, first)
    second = module(seed=9, save_carry=save_carry)
    trainer(max_steps=1).fit(second, loader([batch(4)]), ckpt_path=file, weights_only=False)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    trainer(max_steps=2).fit(second, loader([batch(4), batch(4)]), ckpt_path=file, weights_only=False)
    assert second.global_step == 2
    assert second.carries[0].age.max() == (2 if save_carry else 1)


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_a_checkpoint_of_another_architecture_is_refused(tmp_path, stage):
    file = saved(tmp_path, module())
    other = module(refiner=TwoLevelRefiner(mixer(layers=2), latent_steps=2))
    with pytest.raises(CheckpointMismatch) as refusal:
        getattr(trainer(max_steps=2), stage)(other, loader([batch(4)]), ckpt_path=file, weights_only=False)
    assert "recursion.refiner.latent.blocks.1.positions.gate_up.weight is missing there" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_model_s_own_weights_fit():
    require_same_weights(module().state_dict(), module(seed=1).state_dict())


def test_a_search_is_measured_in_place_of_the_run():
    """Fails if batches are left out, the task is not asked, or a validation afterwards still searches."""
    made = module(eval_segments=3, eval_halting=AsTrained())
    plain = trainer().validate(made, loader(BATCHES), verbose=False)
    made.search = Search(width=3, noise=0.5)
    labelled = half_right(made)
    (found,) = trainer().test(made, loader(labelled), verbose=False)
    assert found["test/exact_of_1"] == pytest.approx(3 / 8)  # chain 0 is the run
    assert found["test/pass_of_3"] >= found["test/exact_accuracy"]
    assert found["test/segments"] == 9
    assert found["test/updates"] == 9 * made.recursion.cycles * len(made.recursion.refiner.schedule())
    assert made.report.questions == 8
    assert trainer().validate(made, loader(BATCHES), verbose=False) == plain
    (answers, _) = trainer().predict(made, loader(BATCHES))
    expected = made.search.solve(made.recursion, BATCHES[0], 3)
    assert torch.equal(answers.logits, expected.logits)


@pytest.mark.parametrize("settings", [{"eval_segments": 3}, {"eval_segments": 8, "segments": 3}])
def test_a_tasks_own_figures_stay_beside_those_of_a_search(monkeypatch, settings):
    """Fails if they are lost, or said to be of other segments than the search ran."""
    made = module(eval_segments=settings["eval_segments"])
    made.search = Search(2, noise=0.5, selector=LastAnswer(), segments=settings.get("segments"))
    groups = ExactByGroup("token", ["even", "odd"], lambda batch: batch.inputs[:, 0] % 2)
    setup = RecursiveModule.setup

    def with_groups(self, stage):
        setup(self, stage)
        self.evaluation.task = groups

    monkeypatch.setattr(RecursiveModule, "setup", with_groups)
    labelled = half_right(made)
    (found,) = trainer().test(made, loader(labelled), verbose=False)
    odd = whole(labelled).inputs[:, 0] % 2 == 1
    right = torch.cat([torch.arange(len(part.task)) % 3 == 1 for part in BATCHES])
    assert found["test/token_odd/exact_at_3"] == pytest.approx(right[odd].double().mean().item())
    assert found["test/token_even/exact_at_3"] == pytest.approx(right[~odd].double().mean().item())
    assert "even" in made.measured.table
