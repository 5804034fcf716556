# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
import pickle
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import LearningRateMonitor, WeightAveraging

import recurlight.cli.app
from recurlight import AdamATan2, BroydenSolver, LastCycles, LastUpdates, NeumannGradient, PuzzleData
from recurlight.__main__ import main

from .fixtures import built, cache, failure, folder, printed, trained


def test_fit_writes_what_is_needed_to_test(trained, capsys):
    run = Path(trained).parent.parent
    assert (run / "config.yaml").is_file()
    assert main(["test", "--ckpt_path", trained]) == 0
    assert "exact" in capsys.readouterr().out


def test_fit_says_where_the_checkpoint_is_and_evaluation_leaves_nothing(folder, capsys):
    assert main(["fit", "--config", "tiny", "--trainer.max_steps", "1"]) == 0
    path = "runs/tiny/version_0/checkpoints/last.ckpt"
    assert f"recurlight test --ckpt_path {path}" in capsys.readouterr().out
    assert torch.load(path, weights_only=True)["global_step"] == 1
    before = sorted(folder.rglob("*"))
    assert main(["validate", "--ckpt_path", path]) == 0
    assert sorted(folder.rglob("*")) == before


def test_the_saved_config_reproduces_the_run(trained, capsys):
    config = yaml.safe_load((Path(trained).parent.parent / "config.yaml").read_text())
    again = printed(capsys, "fit", "--config", str(Path(trained).parent.parent / "config.yaml"))
    assert again == config


def test_print_config_round_trips(folder, capsys):
    config = printed(capsys, "fit", "--config", "tiny", "--config", "averaged", "--model.width", "16")
    (folder / "printed.yaml").write_text(yaml.safe_dump(config))
    assert printed(capsys, "fit", "--config", "printed.yaml") == config
    assert config["model"]["width"] == 16
    assert config["model"]["optimizer"]["init_args"]["lr"] == 0.01


def test_a_checkpoint_brings_model_and_data(trained, capsys):
    config = printed(capsys, "test", "--ckpt_path", trained)
    assert config["model"]["width"] == 8
    assert config["model"]["truncation"] == {"class_path": "recurlight.LastCycles", "init_args": {"count": 1}}
    assert config["data"]["init_args"]["num_test"] == 4
    assert not {"vocab_size", "seq_len", "num_tasks", "grid_shape"} & config["model"].keys()


def test_configs_win_over_the_checkpoint_and_flags_over_both(trained, folder, capsys):
    (folder / "over.yaml").write_text("model: {eval_segments: 3, eval_cycles: 3}\ndata: {num_test: 3}\n")
    arguments = ["test", "--model.eval_segments", "5", "--ckpt_path", trained, "--config", "over.yaml"]
    config = printed(capsys, *arguments)
    assert config["model"]["eval_segments"] == 5
    assert config["model"]["eval_cycles"] == 3
    assert config["data"]["init_args"]["num_test"] == 3
    assert config["data"]["init_args"]["size"] == 4


def test_flags_win_wherever_they_stand(capsys):
    config = printed(capsys, "fit", "--model.refiner.latent_steps", "4", "--config", "tiny")
    assert config["model"]["refiner"]["init_args"]["latent_steps"] == 4


def test_another_class_starts_from_its_own_defaults(trained, capsys):
    flags = ["--model.truncation", "LastUpdates"]
    for source in (["--config", "tiny"], ["--ckpt_path", trained]):
        config = printed(capsys, "fit", *source, *flags)
        assert config["model"]["truncation"]["init_args"] == {"count": LastUpdates().count}
    assert LastUpdates().count != LastCycles().count


def test_the_data_tells_the_model_its_sizes(monkeypatch, folder):
    cli = built(monkeypatch, folder, "fit", "--config", "tiny", "--data.size", "6")
    sizes = cli.model.recursion.sizes
    assert (sizes.vocab, sizes.tokens, sizes.tasks) == (8, 36, 1)
    assert isinstance(cli.model.optimizer(cli.model.parameters()), AdamATan2)


def test_defaults_give_way_to_what_the_user_names(monkeypatch, folder):
    (folder / "own.yaml").write_text("trainer: {callbacks: [{class_path: ModelCheckpoint}], logger: false}")
    own = built(monkeypatch, folder, "fit", "--config", "tiny", "--config", "own.yaml").trainer
    assert len(own.checkpoint_callbacks) == 1
    assert own.checkpoint_callback.save_last is None
    assert own.logger is None
    default = built(monkeypatch, folder, "fit", "--config", "tiny").trainer
    assert default.checkpoint_callback.save_last
    assert default.logger.save_dir == "runs"
    none = built(monkeypatch, folder, "fit", "--config", "tiny", "--trainer.enable_checkpointing", "false")
    assert none.trainer.checkpoint_callbacks == []


def test_the_logs_follow_the_trainers_folder(monkeypatch, folder):
    """Breaks when `default_root_dir` has no effect, or wins over the logger's own folder."""
    (folder / "own.yaml").write_text("trainer: {default_root_dir: root}")
    own = ["fit", "--config", "tiny", "--config", "own.yaml"]
    flag = ["fit", "--config", "tiny", "--trainer.default_root_dir", "root"]
    for arguments in (own, flag):
        trainer = built(monkeypatch, folder, *arguments).trainer
        assert (trainer.logger.save_dir, trainer.logger.name) == ("root", "tiny")
    assert (
        built(monkeypatch, folder, *flag, "--trainer.logger.save_dir=logs").trainer.logger.save_dir == "logs"
    )
    assert built(monkeypatch, folder, *flag, "--trainer.logger=CSVLogger").trainer.logger.save_dir == "root"


@pytest.mark.parametrize("key", ["callbacks", "callbacks+"])
def test_an_overlay_that_adds_a_callback_keeps_the_recipes_weight_averaging(key, monkeypatch, folder):
    (folder / "own.yaml").write_text(f"trainer: {{'{key}': [LearningRateMonitor]}}")
    configs = ["--config", "tiny", "--config", "averaged", "--config", "own.yaml"]
    callbacks = built(monkeypatch, folder, "fit", *configs).trainer.callbacks
    assert sum(isinstance(callback, LearningRateMonitor) for callback in callbacks) == 1
    assert sum(isinstance(callback, WeightAveraging) for callback in callbacks) == 1


@pytest.mark.parametrize(
    ("words", "averages"),
    [
        (["--trainer.callbacks", "LearningRateMonitor"], 1),
        (["--trainer.callbacks=[LearningRateMonitor]"], 1),
        (["--trainer.callbacks=null", "--trainer.callbacks=LearningRateMonitor"], 0),
        (["--trainer.callbacks-=EMAWeightAveraging", "--trainer.callbacks=LearningRateMonitor"], 0),
    ],
)
def test_a_flag_adds_to_the_callbacks_as_a_file_does(words, averages, monkeypatch, folder):
    """Fails if a flag that names a callback silently drops the recipe's weight averaging."""
    arguments = ["fit", "--config", "tiny", "--config", "averaged", *words]
    callbacks = built(monkeypatch, folder, *arguments).trainer.callbacks
    assert sum(isinstance(callback, LearningRateMonitor) for callback in callbacks) == 1
    assert sum(isinstance(callback, WeightAveraging) for callback in callbacks) == averages


def test_torch_optimizers_and_solvers_go_by_their_bare_names(capsys):
    switches = ["--model.optimizer", "AdamW", "--model.optimizer.lr", "0.5", "--model.truncation"]
    config = printed(
        capsys,
        "fit",
        "--config",
        "tiny",
        *switches,
        "ImplicitGradient",
        "--model.truncation.solver",
        "PicardSolver",
    )
    assert config["model"]["optimizer"]["class_path"] == "torch.optim.AdamW"
    assert config["model"]["optimizer"]["init_args"]["lr"] == 0.5
    assert config["model"]["truncation"]["init_args"]["solver"]["class_path"] == "recurlight.PicardSolver"


def test_a_neumann_gradient_and_its_solver_come_from_a_file(monkeypatch, folder):
    (folder / "jfb.yaml").write_text(
        "model: {truncation: {class_path: NeumannGradient, init_args: {steps: 0, solver: {class_path: "
        "BroydenSolver, init_args: {history: 4, absolute_tolerance: 1.0e-6}}}}, refiner: {class_path: "
        "SingleRefiner, init_args: {cell: {class_path: MixerCell, init_args: {layers: 1}}}}, cycles: 4}"
    )
    model = built(monkeypatch, folder, "fit", "--config", "tiny", "--config", "jfb.yaml").model
    solver = BroydenSolver(history=4, absolute_tolerance=1e-6)
    assert model.recursion.truncation == NeumannGradient(steps=0, solver=solver)


def test_muon_takes_its_share_from_a_file_and_by_flags(monkeypatch, folder):
    """Breaks when the optimizers inside of one do not get their own settings."""
    (folder / "split.yaml").write_text(
        "model: {optimizer: {class_path: SplitOptimizer, init_args: {matrices: "
        "{class_path: torch.optim.Muon, init_args: {lr: 0.02}}, rest: {class_path: AdamATan2}}}}"
    )
    arguments = ["fit", "--config", "tiny", "--config", "split.yaml"]
    flags = [
        "--model.optimizer.matrices.lr=0.03",
        "--model.optimizer.rest=AdamW",
        "--model.optimizer.rest.lr=1",
    ]
    for more, expected in (([], (0.02, AdamATan2, 1e-4)), (flags, (0.03, torch.optim.AdamW, 1.0))):
        model = built(monkeypatch, folder, *arguments, *more).model
        muon, rest = model.configure_optimizers().parts
        assert isinstance(muon, torch.optim.Muon)
        assert (muon.param_groups[0]["lr"], type(rest), rest.param_groups[0]["lr"]) == expected
        assert model.description.unrecorded == {}


GROUPED = """
model:
  optimizer_groups:
    - {parts: [halting], lr: 1e-3, betas: [0.8, 0.9]}
    - {parts: [decoder], frozen: true}
"""


def test_groups_of_parameters_come_from_a_file_and_with_the_checkpoint(monkeypatch, folder, capsys):
    """Breaks when a number of a group stays text, or a checkpoint forgets what was frozen."""
    (folder / "grouped.yaml").write_text(GROUPED)
    arguments = ["fit", "--config", "tiny", "--config", "grouped.yaml"]
    assert main(arguments) == 0
    (last,) = map(str, Path("runs/tiny").rglob("last.ckpt"))
    assert main([*arguments, "--ckpt_path", last, "--trainer.max_epochs", "2"]) == 0
    other = ["--model.optimizer_groups", "[{parts: [decoder], frozen: true}]"]
    text = failure(capsys, *arguments, "--ckpt_path", last, *other)
    assert "leave their parts as they were, or begin another run" in text
    text = failure(capsys, *arguments, "--model.optimizer_groups", "[{parts: [norms], lr: 1}]")
    assert text.startswith("model.optimizer_groups: 'norms' names nothing of the model; there are")
    made = built(monkeypatch, folder, *arguments).model
    groups = made.configure_optimizers().param_groups
    rates = {group["name"]: (group["lr"], group["betas"]) for group in groups}
    assert rates == {"halting": (1e-3, (0.8, 0.9)), "others": (1e-4, (0.9, 0.95))}
    again = built(monkeypatch, folder, "fit", "--ckpt_path", last).model
    assert again.description == made.description
    assert not again.recursion.decoder.head.weight.requires_grad
    assert built(monkeypatch, folder, *arguments, *other).model.optimizer_groups == [
        {"parts": ["decoder"], "frozen": True}
    ]


def test_classes_of_the_current_folder_can_be_named(folder, capsys):
    source = "from recurlight import FixedHalting\nclass Own(FixedHalting):\n    pass\n"
    (folder / "own_halting_module.py").write_text(source)
    config = printed(capsys, "fit", "--config", "tiny", "--model.halting", "own_halting_module.Own")
    assert config["model"]["halting"]["class_path"] == "own_halting_module.Own"


def test_checkpoints_hold_the_averaged_weights_and_test_uses_them(trained, monkeypatch, folder):
    checkpoint = torch.load(trained, weights_only=True)
    averaged, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    assert any(not torch.equal(averaged[key], current[key]) for key in averaged)
    seen = {}

    def remember(self):
        seen.update({key: value.clone() for key, value in self.state_dict().items()})

    monkeypatch.setattr(recurlight.cli.app.RecursiveModule, "on_test_start", remember)
    assert main(["test", "--ckpt_path", trained]) == 0
    assert all(torch.equal(seen[key], averaged[key]) for key in averaged)


def test_a_stale_summary_is_made_anew_on_the_averaged_weights(monkeypatch, capsys):
    seen = []

    def remember(self):
        if self.trainer.state.fn == "validate":
            seen.append({key: value.clone() for key, value in self.state_dict().items()})

    monkeypatch.setattr(
        recurlight.cli.app.RecursiveModule, "on_validation_batch_start", lambda self, *_: remember(self)
    )
    arguments = ["--config", "tiny", "--config", "averaged", "--trainer.check_val_every_n_epoch", "2"]
    assert main(["fit", *arguments]) == 0
    saved = torch.load("runs/tiny/version_0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert len(seen) == 1
    assert all(torch.equal(seen[0][key], saved[key]) for key in saved)


def test_a_checkpoint_named_in_a_file_counts_like_the_flag(trained, folder, capsys):
    (folder / "from.yaml").write_text(f"ckpt_path: {trained}\n")
    assert printed(capsys, "test", "--config", "from.yaml")["model"]["width"] == 8


def test_a_flag_wins_over_the_checkpoint_in_the_model_that_is_built(trained, monkeypatch, folder):
    model = built(monkeypatch, folder, "test", "--ckpt_path", trained, "--model.eval_segments", "5").model
    assert model.evaluation.segments == 5
    assert model.recursion.sizes.width == 8


def test_a_timer_may_end_a_run(folder):
    """Fails if the saved configuration cannot hold the enumeration that is the default of its `interval`."""
    timer = ["--trainer.callbacks+=Timer", "--trainer.callbacks.duration", "00:01:00:00"]
    assert main(["fit", "--config", "tiny", *timer]) == 0
    (saved,) = folder.glob("runs/tiny/version_0/config.yaml")
    (callback,) = yaml.safe_load(saved.read_text())["trainer"]["callbacks"]
    assert callback["init_args"] == {"duration": "00:01:00:00", "interval": "step", "verbose": True}


def test_what_is_made_leads_nowhere(monkeypatch, folder):
    """Fails if the model holds the command line's parser, and with it the trainer and its processes."""
    cli = built(monkeypatch, folder, "fit", "--config", "tiny", "--config", "averaged")
    cli.model.configure_optimizers()
    for made in (cli.model, cli.datamodule):
        assert b"lightning.pytorch.cli" not in pickle.dumps(made)


@pytest.mark.parametrize(
    "way", ["ddp_spawn", "{class_path: DDPStrategy, init_args: {start_method: forkserver}}"]
)
def test_what_cannot_be_sent_to_spawned_processes_is_one_line(capsys, way):
    """Fails if Python's own error, which is all that is told of it, comes with a traceback."""
    two = ["--trainer.devices", "2", "--trainer.strategy", way]
    text = failure(capsys, "fit", "--config", "tiny", "--config", "averaged", *two)
    assert text.startswith("trainer: Can't pickle local object 'get_ema_avg_fn")


@pytest.mark.parametrize("way", ["ddp", "ddp_fork", "ddp_spawn"])
def test_without_averaging_every_strategy_may_start_processes(monkeypatch, folder, way):
    built(monkeypatch, folder, "fit", "--config", "tiny", "--trainer.devices=2", f"--trainer.strategy={way}")


SAVER = """from lightning.pytorch.callbacks import Checkpoint
class Saver(Checkpoint):
    def on_train_end(self, trainer, pl_module):
        trainer.save_checkpoint("own.ckpt")
"""


def test_only_the_usual_checkpoint_takes_the_place_of_the_usual_checkpoint(folder):
    """Fails if any callback that may save something counts as one that keeps the run."""
    (folder / "own_saver_module.py").write_text(SAVER)
    assert main(["fit", "--config", "tiny", "--trainer.callbacks+=own_saver_module.Saver"]) == 0
    for file in ("own.ckpt", "runs/tiny/version_0/checkpoints/last.ckpt"):
        assert torch.load(file, weights_only=True)["global_step"] == 2


@pytest.mark.parametrize("command", ["fit", "test"])
def test_a_checkpoint_that_would_be_resumed_unasked_is_refused(folder, capsys, command):
    """Fails if a run begins from, or deletes, what an earlier one left behind."""
    (folder / "on_exception.ckpt").write_text("valuable")
    saver = ["--trainer.callbacks+=OnExceptionCheckpoint", "--trainer.callbacks.dirpath=."]
    text = failure(capsys, command, "--config", "tiny", *saver)
    assert text.startswith(
        "trainer.callbacks: with OnExceptionCheckpoint the next run would go on from its file"
    )
    assert "saves failed.ckpt by itself" in text
    assert (folder / "on_exception.ckpt").read_text() == "valuable"
    assert not (folder / "runs").exists()


def test_data_are_prepared_as_often_as_the_trainer_asks(trained, monkeypatch, capsys):
    """Fails if data that print or download when they are prepared do so twice in one test."""
    calls, prepare = [], PuzzleData.prepare_data
    monkeypatch.setattr(PuzzleData, "prepare_data", lambda self: calls.append(self) or prepare(self))
    assert main(["test", "--ckpt_path", trained]) == 0
    assert len(calls) == 1
