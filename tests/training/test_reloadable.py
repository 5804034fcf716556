"""A checkpoint is enough: every public part, and users' own, come back from the file alone."""

from __future__ import annotations

import importlib
import inspect
import tempfile
from functools import cache, partial
from pathlib import Path

import own_parts as own
import pytest
import torch
from frozen import checkpoint, reasoner, thinking
from helpers import SIZES, attention, batch, loader, mixer, trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning.pytorch.loggers import CSVLogger
from saved_models import answers, made, require_equal, trained
from torch import nn

from recurlight import (
    AdamATan2,
    AddedInjection,
    AndersonSolver,
    BroydenSolver,
    CausalTransformerCell,
    ContinuousDecoder,
    ContinuousEncoder,
    ConvCell,
    ConvergenceHalting,
    ConvTransformerCell,
    CorrectnessHalting,
    DampedRefiner,
    DecayInjection,
    DeepDecoder,
    DeepEncoder,
    EveryUpdate,
    FixedHalting,
    HeadDecoder,
    HiddenEncoder,
    ImplicitGradient,
    InjectedRefiner,
    LastCycles,
    LastPerLevel,
    LastUpdates,
    LinearWarmup,
    LinearWarmupCosine,
    MeanSquaredError,
    MixerCell,
    NeumannGradient,
    PhantomGradient,
    PicardSolver,
    PoolingCell,
    PreNormCell,
    PretrainedBackbone,
    ProjectedInjection,
    QLearningHalting,
    QuestionStartRefiner,
    Recorded,
    RecursiveModule,
    SingleRefiner,
    SoftmaxCrossEntropy,
    SoftTokenDecoder,
    SoftTokenEncoder,
    SortingData,
    SparseTable,
    SplitOptimizer,
    StablemaxCrossEntropy,
    StartVector,
    SudokuData,
    TokenDecoder,
    TokenEncoder,
    TrainedBackbone,
    TransformerCell,
    TwoLevelRefiner,
)
from recurlight.checkpoints.contents import DATA, FORMAT
from recurlight.errors import CheckpointMismatch


def two_level():
    return TwoLevelRefiner(mixer(), attention(), latent_steps=2)


PLACE = tempfile.TemporaryDirectory()


@cache
def base():
    """The checkpoint of a frozen model."""
    return checkpoint(Path(PLACE.name) / "base.ckpt")


def on_published():
    pytest.importorskip("transformers", reason="the extra lm is not installed")
    from language import published

    return published.reasoner(published.llama(Path(tempfile.mkdtemp())), layers=2)


PUBLIC = {  # none with its defaults where it has arguments: a forgotten one must show
    SingleRefiner: lambda: made(refiner=SingleRefiner(attention())),
    TwoLevelRefiner: lambda: made(refiner=two_level()),
    DampedRefiner: lambda: made(refiner=DampedRefiner(two_level(), 0.25)),
    QuestionStartRefiner: lambda: made(
        refiner=QuestionStartRefiner(mixer(), attention(), latent_steps=3), truncation=EveryUpdate()
    ),
    InjectedRefiner: lambda: made(refiner=InjectedRefiner(mixer(), AddedInjection())),
    AddedInjection: lambda: made(refiner=InjectedRefiner(attention(), AddedInjection())),
    DecayInjection: lambda: made(refiner=InjectedRefiner(mixer(), DecayInjection(0.25))),
    ProjectedInjection: lambda: made(refiner=InjectedRefiner(mixer(), ProjectedInjection())),
    ConvCell: lambda: made(refiner=SingleRefiner(ConvCell(1, kernel=5, norm=False))),
    PoolingCell: lambda: made(refiner=SingleRefiner(PoolingCell(1, [[1, None], [2, 2]], multiple=8))),
    CausalTransformerCell: lambda: made(refiner=SingleRefiner(CausalTransformerCell(1, heads=4, multiple=8))),
    DeepEncoder: lambda: made(encoder=DeepEncoder(mixer(), learned_positions=True)),
    DeepDecoder: lambda: made(decoder=DeepDecoder(attention())),
    PreNormCell: lambda: made(refiner=SingleRefiner(PreNormCell(1, heads=4, multiple=8))),
    MixerCell: lambda: made(refiner=SingleRefiner(MixerCell(1, expansion=2.0, multiple=8))),
    TransformerCell: lambda: made(refiner=SingleRefiner(TransformerCell(1, heads=4, multiple=8))),
    ConvTransformerCell: lambda: made(refiner=SingleRefiner(ConvTransformerCell(1, heads=4, kernel=3))),
    EveryUpdate: lambda: made(truncation=EveryUpdate()),
    LastUpdates: lambda: made(truncation=LastUpdates(1)),
    LastCycles: lambda: made(truncation=LastCycles(2)),
    LastPerLevel: lambda: made(refiner=two_level(), truncation=LastPerLevel({"latent": 1, "answer": 2})),
    PhantomGradient: lambda: made(truncation=PhantomGradient(1, 0.25)),
    NeumannGradient: lambda: made(truncation=NeumannGradient(2, 0.5, PicardSolver(damping=0.5)), cycles=3),
    ImplicitGradient: lambda: made(truncation=ImplicitGradient(backward_steps=3), cycles=3),
    AndersonSolver: lambda: made(truncation=ImplicitGradient(AndersonSolver(history=2)), cycles=3),
    BroydenSolver: lambda: made(truncation=ImplicitGradient(BroydenSolver(history=2)), cycles=3),
    PicardSolver: lambda: made(truncation=ImplicitGradient(PicardSolver(damping=0.5)), cycles=3),
    FixedHalting: lambda: made(halting=FixedHalting()),
    CorrectnessHalting: lambda: made(halting=CorrectnessHalting()),
    QLearningHalting: lambda: made(halting=QLearningHalting()),
    ConvergenceHalting: lambda: made(halting=ConvergenceHalting(0.25)),
    TokenEncoder: lambda: made(encoder=TokenEncoder(learned_positions=True, task_width=4), prefix=1),
    SparseTable: lambda: made(encoder=TokenEncoder(task_table=SparseTable(lr=0.5)), prefix=1, num_tasks=2),
    TokenDecoder: lambda: made(decoder=TokenDecoder()),
    ContinuousEncoder: lambda: made(encoder=ContinuousEncoder(learned_positions=True), features=2),
    ContinuousDecoder: lambda: made(decoder=ContinuousDecoder(), targets=1),
    MeanSquaredError: lambda: made(loss=MeanSquaredError(0.25, absolute=True), targets=2),
    SoftmaxCrossEntropy: lambda: made(loss=SoftmaxCrossEntropy(0.25)),
    StablemaxCrossEntropy: lambda: made(loss=StablemaxCrossEntropy()),
    SplitOptimizer: lambda: made(
        optimizer=partial(SplitOptimizer, matrices=partial(torch.optim.Muon, lr=0.02), rest=torch.optim.AdamW)
    ),
    AdamATan2: lambda: made(optimizer=partial(AdamATan2, lr=0.5, betas=(0.5, 0.75))),
    LinearWarmup: lambda: made(scheduler=partial(LinearWarmup, warmup=3)),
    PretrainedBackbone: lambda: on_published(),
    SoftTokenEncoder: lambda: thinking(learned_positions=True),
    SoftTokenDecoder: lambda: thinking(),
    TrainedBackbone: lambda: reasoner(base(), backbone=TrainedBackbone(base(), [5, 4, 3, 2, 1, 0])),
    HiddenEncoder: lambda: reasoner(base()),
    HeadDecoder: lambda: reasoner(base(), encoder=TokenEncoder()),
    LinearWarmupCosine: lambda: made(scheduler=partial(LinearWarmupCosine, warmup=3, total=9)),
}

OWN = {
    "refiner": lambda: made(
        refiner=own.OwnRefiner({"a": own.OwnCell(4), "b": nn.Tanh()}, own.Record(0.5), up=1.5, down=-0.5)
    ),
    "halting": lambda: made(halting=own.OwnHalting(0.5)),
    "truncation": lambda: made(truncation=own.OwnTruncation(LastCycles(1), note=["x", {"y": (1, 2)}])),
    "window": lambda: made(truncation=own.OwnWindow(1, share=0.75)),
    "encoder": lambda: made(encoder=own.OwnEncoder(0.5)),
    "decoder": lambda: made(decoder=own.OwnDecoder(bias=False)),
    "loss": lambda: made(loss=own.OwnLoss(0.5)),
    "cell": lambda: made(refiner=SingleRefiner(own.OwnCell(4, nn.functional.gelu))),
    "plain cell": lambda: made(refiner=SingleRefiner(own.PlainCell(SIZES.width, 4, bias=True))),
    "torch cell": lambda: made(refiner=SingleRefiner(nn.Linear(SIZES.width, SIZES.width, bias=False))),
    "chain": lambda: made(refiner=SingleRefiner(nn.Sequential(nn.Linear(16, 16), nn.Softsign()))),
    "torch optimizer": lambda: made(optimizer=partial(torch.optim.AdamW, lr=0.1, weight_decay=0.5)),
    "plateau": lambda: made(scheduler=partial(ReduceLROnPlateau, monitor="loss", patience=3)),
    "module": lambda: own.OwnModule(SIZES.tokens, steps=3),
    "sizes": lambda: made(num_tasks=2, seed=3, eval_cycles=3, eval_segments=3, halting_weight=0.25),
}


@pytest.mark.parametrize(
    "axis", ["refiners", "truncation", "halting", "cells", "codec", "language", "losses", "optim"]
)
def test_no_public_part_is_left_out(axis):
    """Fails when a strategy is exported without a line above."""
    home = importlib.import_module(f"recurlight.{axis}")
    bases = (Recorded, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
    kinds = {kind for name in home.__all__ if inspect.isclass(kind := getattr(home, name))}
    parts = {kind for kind in kinds if issubclass(kind, bases) and not inspect.isabstract(kind)}
    assert parts - {StartVector} <= PUBLIC.keys()  # every refiner has start vectors
    assert parts


@pytest.mark.parametrize("make", [*PUBLIC.values(), *OWN.values()], ids=[*map(str, PUBLIC), *OWN])
def test_loaded_from_the_file_alone_and_again_after_training_it(make, tmp_path):
    """Fails if live objects are saved, if an argument is dropped, or if only the first save is plain."""
    model = make()
    saved = trained(model, tmp_path / "first.ckpt")
    loaded = type(model).load_from_checkpoint(tmp_path / "first.ckpt")
    require_equal(loaded, model)
    again = trained(loaded, tmp_path / "second.ckpt")
    assert not torch.equal(answers(loaded), answers(model)) or not list(model.parameters())
    require_equal(type(model).load_from_checkpoint(tmp_path / "second.ckpt"), loaded)
    assert again["hyper_parameters"] == saved["hyper_parameters"]
    assert again["recurlight"] == saved["recurlight"]


def test_the_file_names_public_paths_and_versions(tmp_path):
    """Fails if private module paths, or the defaults that were left out, are what a checkpoint holds."""
    saved = trained(made(), tmp_path / "x.ckpt")
    assert saved["hyper_parameters"]["truncation"] == {"class_path": "recurlight.EveryUpdate"}
    assert saved["hyper_parameters"]["scheduler"] is None
    assert saved["hyper_parameters"]["seq_len"] == SIZES.tokens
    assert saved["recurlight"]["format"] == FORMAT == 1
    assert saved["recurlight"]["torch"] == torch.__version__
    assert saved["recurlight"]["lightning"] == importlib.metadata.version("lightning")
    assert saved["recurlight"]["model"] == "recurlight.RecursiveModule"


def test_settings_can_be_changed_on_loading(tmp_path):
    """Fails if the checkpoint wins over what the caller asks for."""
    trained(made(), tmp_path / "x.ckpt")
    loaded = RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt", eval_segments=5, loss=own.OwnLoss(2.0))
    assert loaded.evaluation.segments == 5
    assert loaded.loss._factor == 2.0
    assert loaded.description.arguments["eval_segments"] == 5


def test_what_cannot_be_written_is_said_and_must_be_given_again(tmp_path):
    """Fails if a lambda is pickled into the file, or silently replaced by the default on loading."""

    def optimizer(parameters):
        return torch.optim.SGD(parameters, lr=0.25)

    path = tmp_path / "x.ckpt"
    with pytest.warns(UserWarning, match=r"will not hold optimizer \(optimizer cannot be imported"):
        saved = trained(made(optimizer=optimizer), path)
    assert "optimizer" not in saved["hyper_parameters"]
    with pytest.raises(CheckpointMismatch, match=r"optimizer could not be written .*: pass optimizer="):
        RecursiveModule.load_from_checkpoint(path)
    loaded = RecursiveModule.load_from_checkpoint(path, optimizer=optimizer)
    assert loaded.configure_optimizers().defaults["lr"] == 0.25


def test_the_process_that_wrote_a_checkpoint_resumes_it_whatever_it_could_not_write(tmp_path):
    """Fails if the file cannot be read back under `weights_only`."""
    model = made(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.25))
    with pytest.warns(UserWarning, match="a lambda has no name"):
        trained(model, tmp_path / "x.ckpt")
    run = trainer(max_steps=3)
    run.fit(model, loader([batch(seed=1)] * 3), ckpt_path=tmp_path / "x.ckpt")
    assert run.global_step == 3


def test_loggers_are_shown_plain_settings(tmp_path):
    """Fails if live parts reach the logger."""
    logger = CSVLogger(tmp_path)
    trainer(max_steps=1, logger=logger).fit(made(), loader([batch()]))
    text = (tmp_path / "lightning_logs/version_0/hparams.yaml").read_text()
    assert "class_path: recurlight.SingleRefiner" in text


def test_a_reconfigured_model_comes_back_as_it_was_trained(tmp_path):
    """Fails if a checkpoint tells what the constructor was given, or evaluation keeps to the old cap."""
    model = made()
    model.recursion.reconfigure(cycles=4, max_segments=5, truncation=LastUpdates(2))
    trained(model, tmp_path / "x.ckpt")
    loaded = RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt")
    assert (loaded.recursion.cycles, loaded.recursion.max_segments) == (4, 5)
    assert loaded.recursion.truncation == LastUpdates(2)
    assert torch.equal(answers(loaded), answers(model))
    (before,) = trainer().test(model, loader([batch(seed=1)]), verbose=False)
    (after,) = trainer().test(loaded, loader([batch(seed=1)]), verbose=False)
    assert before == after
    assert before["test/segments"] == 5
    model.recursion.reconfigure(max_segments=2)
    (lower,) = trainer().test(model, loader([batch(seed=1)]), verbose=False)
    assert {name for name in lower if "_at_" in name} == {"test/exact_at_1", "test/exact_at_2"}


def test_changed_counts_of_the_refiner_come_back(tmp_path):
    """Fails if a checkpoint tells what the refiner's constructor was given, or loses what was changed."""
    model = made(refiner=TwoLevelRefiner(mixer(), latent_steps=2), truncation=LastUpdates(2))
    model.recursion.reconfigure(latent_steps=3)
    trained(model, tmp_path / "x.ckpt")
    loaded = RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt")
    assert loaded.recursion.refiner.latent_steps == 3
    assert torch.equal(answers(loaded), answers(model))


class Fixed(TwoLevelRefiner):
    """Takes no number of steps."""

    def __init__(self, latent) -> None:
        super().__init__(latent, latent_steps=2)


def test_counts_that_no_argument_says_are_warned_of(tmp_path):
    """Fails if a checkpoint silently loads with others."""
    model = made(refiner=Fixed(mixer()), truncation=LastUpdates(2))
    model.recursion.reconfigure(latent_steps=3)
    with pytest.warns(UserWarning, match="Fixed sets latent_steps itself: .* that latent_steps is 3 now"):
        trained(model, tmp_path / "x.ckpt")
    loaded = RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt")
    assert loaded.recursion.refiner.latent_steps == 2


def test_a_truncation_that_cannot_be_written_is_asked_for_again(tmp_path):
    """Fails if the one that the constructor was given is loaded in its place."""

    class Unnamed(EveryUpdate):
        pass

    model = made(truncation=LastUpdates(2))
    model.recursion.reconfigure(truncation=Unnamed())
    with pytest.warns(UserWarning, match="checkpoints will not hold truncation"):
        trained(model, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointMismatch, match="truncation could not be written"):
        RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt")


def test_averaged_weights_keep_the_description(tmp_path):
    """Fails if the copy that averaging makes is described in place of the model."""
    run = trainer(max_steps=2, callbacks=[EMAWeightAveraging(decay=0.5, use_buffers=False)])
    model = made()
    run.fit(model, loader([batch(seed=1)] * 2))
    run.save_checkpoint(tmp_path / "x.ckpt")
    require_equal(RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt"), model)


def test_python_runs_record_their_data(tmp_path, monkeypatch):
    """Fails if only the command line writes the section."""
    monkeypatch.setenv("RECURLIGHT_CACHE", str(tmp_path))
    data = SudokuData(size=4, num_train=8, num_val=4, num_test=3, batch_size=4)
    run = trainer(max_steps=1)
    run.fit(made(), data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    loaded = SudokuData.load_from_checkpoint(tmp_path / "x.ckpt", num_val=2)
    assert (loaded.size, loaded.num_test, loaded.num_val, loaded.batch_size) == (4, 3, 2, 4)
    with pytest.raises(
        CheckpointMismatch, match=r"x\.ckpt tells of recurlight\.SudokuData: .* make SortingData"
    ):
        SortingData.load_from_checkpoint(tmp_path / "x.ckpt")


def test_data_that_pass_settings_on_are_recorded_and_loaded(tmp_path):
    """Fails if a default of a base is not recorded, so that another number of test puzzles is not noticed."""
    run = trainer(max_steps=1)
    sizes = {"values": SIZES.vocab - 1, "length": SIZES.tokens}
    run.fit(made(), SortingData(**sizes, num_train=8, num_val=2, batch_size=4))
    run.save_checkpoint(tmp_path / "x.ckpt")
    loaded = SortingData.load_from_checkpoint(tmp_path / "x.ckpt")
    assert (loaded.num_train, loaded.num_val, loaded.num_test, loaded.batch_size) == (8, 2, 500, 4)
    assert torch.load(tmp_path / "x.ckpt", weights_only=True)[DATA]["num_test"] == 500


class Doubling(RecursiveModule):
    """Gives a name of its base another meaning."""

    def __init__(self, cycles: int = 1, **settings):
        super().__init__(cycles=2 * cycles, **settings)


def test_a_class_that_gives_names_another_meaning_is_loaded_as_itself(tmp_path):
    """Fails if a checkpoint holds what the driver has where the class would take it for something else."""
    parts = {"refiner": SingleRefiner(attention()), "truncation": EveryUpdate(), "halting": FixedHalting()}
    model = Doubling(2, vocab_size=SIZES.vocab, seq_len=SIZES.tokens, width=SIZES.width, **parts)
    model.recursion.reconfigure(cycles=5)
    with pytest.warns(UserWarning, match="Doubling sets cycles itself: .* hold that cycles is 5"):
        trained(model, tmp_path / "x.ckpt")
    assert Doubling.load_from_checkpoint(tmp_path / "x.ckpt").recursion.cycles == 4
    with pytest.raises(CheckpointMismatch, match=r"it is of the class .*Doubling: use Doubling\.load_from"):
        RecursiveModule.load_from_checkpoint(tmp_path / "x.ckpt")
