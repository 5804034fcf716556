# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight import` through the command line: what it writes, and that its checkpoints are accepted."""

from __future__ import annotations

import pytest
import torch
import yaml
from cli.fixtures import cache, failure, folder, printed
from cli.test_process import process

from recurlight import LastCycles, LastUpdates, QLearningHalting, RecursiveModule, SudokuData
from recurlight.__main__ import main
from recurlight.interop import DataSizes, SettingError, import_published

from .conftest import publish
from .importing import SUDOKU, loaded, run, same, weights_of
from .reference import HRM, ROOT, TRM_ATTENTION, TRM_MIXER, TRMS_HRM, random_weights

ONE_STEP = ["--trainer.max_steps", "1", "--model.optimizer.lr", "0", "--model.optimizer.weight_decay", "0"]


def test_test_and_fit_and_python_take_what_import_writes(folder, capsys):
    """Fails when optimizer states are left out of the file, the data section or the class paths are wrong,
    or weights are not loaded on resuming."""
    file = publish(folder / "hub", SUDOKU)
    run(file, "--from", "trm", "--data", "recipes/tiny.yaml")
    assert "recurlight test --ckpt_path step_65000.ckpt" in capsys.readouterr().out
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    assert main(["test", "--ckpt_path", "step_65000.ckpt", *quiet]) == 0
    assert "exact" in capsys.readouterr().out
    assert main(["fit", "--ckpt_path", "step_65000.ckpt", *quiet, *ONE_STEP]) == 0
    tuned = loaded("runs/run/version_0/checkpoints/last.ckpt")
    assert tuned["global_step"] == 1
    assert same(tuned["state_dict"], loaded("step_65000.ckpt")["state_dict"])
    model = RecursiveModule.load_from_checkpoint("step_65000.ckpt")
    assert model.optimizer(model.parameters()).param_groups[0]["lr"] == 1e-4
    assert SudokuData.load_from_checkpoint("step_65000.ckpt").num_train == 8


def test_a_new_run_begins_with_imported_weights(folder, capsys):
    """Fails when imported checkpoints have no settings of their own, or need data of the same size."""
    run(publish(folder / "hub", SUDOKU), "--from", "trm")
    other = [
        "--data",
        "SudokuData",
        "--data.size",
        "4",
        "--data.batch_size",
        "2",
        "--data.epoch_samples",
        "8",
    ]
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    assert main(["fit", "--weights", "step_65000.ckpt", *other, *quiet, *ONE_STEP]) == 0
    tuned = loaded("runs/run/version_0/checkpoints/last.ckpt")
    assert tuned["global_step"] == 1
    assert same(tuned["state_dict"], loaded("step_65000.ckpt")["state_dict"])
    assert "left out" not in capsys.readouterr().out


def test_settings_arrive_in_the_commands(folder, capsys):
    """Fails when HRM gets TRM's window, or cycles and latent steps change places."""
    run(publish(folder / "hub", SUDOKU._replace(cycles=5)), "--from", "trm", "--data", "recipes/tiny.yaml")
    model = printed(capsys, "test", "--ckpt_path", "step_65000.ckpt")["model"]
    assert (model["width"], model["prefix"], model["cycles"], model["max_segments"]) == (64, 16, 5, 16)
    refiner = model["refiner"]["init_args"]
    assert (refiner["latent_steps"], refiner["answer"]) == (1, None)
    assert refiner["latent"]["init_args"] == {"layers": 1, "expansion": 4.0, "multiple": 256}
    assert model["truncation"] == {"class_path": "recurlight.LastCycles", "init_args": {"count": 1}}
    assert model["scheduler"]["init_args"] == {"warmup": 2000}


def test_hrm_comes_with_its_window_and_both_scores(folder):
    """Fails when the halting head keeps one row, or H_level becomes the latent's cell."""
    run(
        publish(folder / "hub", HRM._replace(layers=1)), "--from", "hrm", "--seq_len", 9, "--output", "a.ckpt"
    )
    model = RecursiveModule.load_from_checkpoint("a.ckpt")
    assert model.recursion.truncation == LastUpdates(2)
    assert isinstance(model.recursion.halting, QLearningHalting)
    raw = random_weights(HRM._replace(layers=1))
    assert torch.equal(model.recursion.halting.head.weight, raw[ROOT + "q_head.weight"])
    answer = model.recursion.refiner.answer.blocks[0].attention.qkv.weight
    assert torch.equal(answer, raw[ROOT + "H_level.layers.0.self_attn.qkv_proj.weight"])


def test_trm_keeps_the_halt_score_alone_unless_it_was_trained_with_both(folder):
    """Fails when TRM takes the last row of its head, or no_ACT_continue is not read."""
    file = publish(folder / "hub", TRM_ATTENTION)
    raw = random_weights(TRM_ATTENTION)[ROOT + "q_head.bias"]
    name = "recursion.halting.head.bias"
    assert torch.equal(weights_of(file, "--from", "trm", "--seq_len", 9)[name], raw[:1])
    config = TRM_ATTENTION.config()
    config["arch"]["no_ACT_continue"] = False
    (file.parent / "all_config.yaml").write_text(yaml.safe_dump(config))
    assert torch.equal(weights_of(file, "--from", "trm", "--seq_len", 9)[name], raw)
    flags = ["--from", "trm", "--seq_len", 9, "--halting", "correctness"]
    assert torch.equal(weights_of(file, *flags)[name], raw[:1])


def test_settings_that_a_class_does_not_read_have_no_effect_and_are_told(folder, capsys):
    """Fails when HRM takes TRM's prefix or halting from TRM's configuration, or drops them unheard."""
    run(publish(folder / "hub", TRMS_HRM), "--from", "hrm", "--seq_len", 9)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "prefix 1 published default" in lines
    assert "halting QLearningHalting published default" in lines
    assert "arch.puzzle_emb_len 16 without effect, HRM's class does not read it" in lines
    assert "arch.no_ACT_continue True without effect, HRM's class does not read it" in lines


def test_a_flag_wins_over_the_configuration_and_the_output_says_so(folder, capsys):
    """Fails when all_config.yaml wins, or the origin of a value is told wrongly."""
    file = publish(folder / "hub", SUDOKU)
    run(file, "--from", "trm", "--cycles", 7, "--max_segments", 4)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cycles", "7", "flag"] in lines
    assert ["latent_steps", "1", "all_config.yaml"] in lines
    assert ["width", "64", "shapes"] in lines
    parameters = loaded("step_65000.ckpt")["hyper_parameters"]
    assert (parameters["cycles"], parameters["max_segments"], parameters["prefix"]) == (7, 4, 16)


def test_flags_stand_in_for_a_configuration(folder, capsys):
    """Fails when a number that weights do not tell is guessed."""
    file = publish(folder / "hub", HRM, config=False)
    text = failure(capsys, "import", str(file), "--from", "hrm", "--seq_len", "9")
    assert "do not tell cycles, latent_steps, heads, positions" in text
    assert "--cycles 3 --latent_steps 6 --heads 8 --positions rope" in text
    given = ["--cycles", 2, "--latent_steps", 2, "--heads", 2, "--positions", "rope", "--seq_len", 9]
    run(file, "--from", "hrm", *given, "--output", "a.ckpt")
    run(publish(folder / "hub", HRM), "--from", "hrm", "--seq_len", 9, "--output", "b.ckpt")
    one, other = (loaded(name)["hyper_parameters"] for name in ("a.ckpt", "b.ckpt"))
    trained = {"optimizer", "scheduler"}  # known from the configuration alone
    assert one == {key: value for key, value in other.items() if key not in trained}


def test_a_mixers_prefix_is_counted_where_the_tokens_are_known(folder, capsys):
    """Fails when the prefix is taken for 16 without a configuration."""
    shape = SUDOKU._replace(prefix=3)
    file = publish(folder / "hub", shape, config=False)
    given = ["--from", "trm", "--cycles", 2, "--latent_steps", 1]
    assert "--prefix 16" in failure(capsys, "import", str(file), *map(str, given))
    run(file, *given, "--seq_len", 16)
    assert loaded("step_65000.ckpt")["hyper_parameters"]["prefix"] == 3


@pytest.mark.parametrize(("tasks", "row"), [("mean", lambda t: t.mean(0)), ("zero", lambda t: t[0] * 0)])
def test_a_table_of_tasks_can_be_made_anew(folder, capsys, tasks, row):
    """Fails when the mean is over columns, or the rows are cut instead of made."""
    file = publish(folder / "hub", TRM_ATTENTION)
    flags = ["--from", "trm", "--seq_len", "9", "--num_tasks", "5"]
    assert "--tasks mean" in failure(capsys, "import", str(file), *flags)
    table = weights_of(file, *flags, "--tasks", tasks)["recursion.encoder.task"]
    assert table.shape == (5, 64)
    expected = row(random_weights(TRM_ATTENTION)[ROOT + "puzzle_emb.weights"])
    assert torch.equal(table, expected.expand(5, 64))


def test_python_can_import_too(tmp_path):
    """Fails when a misspelt setting is ignored."""
    file = str(publish(tmp_path, TRM_MIXER))
    made = import_published(file, "trm", sizes=DataSizes(7, 9, 3), cycles=4)
    assert made.settings["cycles"] == (4, "flag")
    assert made.checkpoint["hyper_parameters"]["seq_len"] == 9
    with pytest.raises(SettingError, match="'cylces' is no setting of an import; did you mean 'cycles'"):
        import_published(file, "trm", cylces=4)


def test_help_does_not_wait_for_torch():
    """Fails when the command line imports torch before it has been understood."""
    code = (
        "import sys\nfrom recurlight.__main__ import main\n"
        "main(['import', 'x', '--from', 'trn'])\n"
        "try: main(['import', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'lightning', 'jsonargparse'} & sys.modules.keys()\n"
    )
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
    assert "--latent_steps" in done.stdout
