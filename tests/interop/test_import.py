# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight import` through the command line: what it writes, and that its checkpoints are accepted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from cli.fixtures import cache, failure, folder, printed
from cli.test_process import process

from recurlight import LastCycles, LastUpdates, QLearningHalting, RecursiveModule, SudokuData
from recurlight.__main__ import main
from recurlight.interop import DataSizes, SettingError, import_published, known_data, read_published
from recurlight.interop.training_data import known_tokens

from .conftest import publish
from .reference import HRM, ROOT, TRM_ATTENTION, TRM_MIXER, TRMS_HRM, random_weights

SUDOKU = TRM_MIXER._replace(tokens=16, vocab=6, tasks=1, cycles=2, latent_steps=1, layers=1)
"""A mixer for the puzzles of the recipe `tiny`."""

ONE_STEP = ["--trainer.max_steps", "1", "--model.optimizer.lr", "0", "--model.optimizer.weight_decay", "0"]


def run(*arguments):
    assert main(["import", *map(str, arguments)]) == 0


def loaded(path):
    return torch.load(path, weights_only=True)


def weights_of(file, *flags):
    """Import a file and return the state dict."""
    run(file, "--output", "made.ckpt", *flags)
    made = loaded("made.ckpt")
    (file.parent.parent / "made.ckpt").unlink()
    return made["state_dict"]


def same(one, other):
    """Compare keys, dtypes and values of state dicts; `torch.equal` alone ignores dtypes."""
    kinds = ({key: value.dtype for key, value in state.items()} for state in (one, other))
    return next(kinds) == next(kinds) and all(torch.equal(one[key], other[key]) for key in one)


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


def test_kinds_of_files_give_the_same_weights(folder):
    """Fails when prefixes, wrappers or bfloat16 are not undone."""
    weights = {key: value.bfloat16() for key, value in random_weights(SUDOKU).items()}
    plain = {key: value.float() for key, value in weights.items()}
    flags = ["--from", "trm"]
    expected = weights_of(publish(folder / "a", SUDOKU, weights=plain), *flags)
    assert all(value.dtype == torch.float32 for value in expected.values())
    assert same(weights_of(publish(folder / "b", SUDOKU, weights=weights), *flags), expected)
    prefixed = publish(folder / "c", SUDOKU, weights=plain, prefix="_orig_mod.")
    assert same(weights_of(prefixed, *flags), expected)


def test_files_with_an_optimizer_say_what_is_left_out(folder, capsys):
    """Fails when averages are taken or dropped without being asked for."""
    file = publish(folder / "hub", SUDOKU)
    raw = random_weights(SUDOKU)
    head = ROOT + "lm_head.weight"
    whole = {"model": raw, "optimizers": [{"state": {}}], "step": 3}
    torch.save(whole, file)
    state = weights_of(file, "--from", "trm")
    assert torch.equal(state["recursion.decoder.head.weight"], raw[head])
    assert "left out: optimizers, step" in capsys.readouterr().out
    torch.save(whole | {"ema_helper": {f"_orig_mod.{head}": raw[head] + 1}}, file)
    assert "--weights averaged" in failure(capsys, "import", str(file), "--from", "trm")
    averaged = weights_of(file, "--from", "trm", "--weights", "averaged")
    assert torch.equal(averaged.pop("recursion.decoder.head.weight"), raw[head] + 1)
    plain = weights_of(file, "--from", "trm", "--weights", "plain")
    assert torch.equal(plain.pop("recursion.decoder.head.weight"), raw[head])
    assert same(averaged, plain)


HEAD = ROOT + "lm_head.weight"


def halves():
    """Weights, and averages that tell themselves apart; buffers have none, as in the published code."""
    plain = random_weights(SUDOKU)
    averages = {
        key: value + 1 for key, value in plain.items() if not key.endswith(("_init", "puzzle_emb.weights"))
    }
    return plain, averages


@pytest.mark.parametrize(
    "wrap",
    [
        lambda plain, averages: {"model_state_dict": plain, "ema_state_dict": averages, "step": 3},
        lambda plain, averages: {"model": plain, "ema": {"mu": 0.999, "shadow": averages}},
        lambda plain, averages: {"net": plain, "ema_model": {"state_dict": averages}},
        lambda plain, averages: {"train": {"state": plain}, "averaged": averages},
        lambda plain, averages: {**plain, "ema": averages},
        lambda plain, averages: {
            "model": {f"module.{key}": value for key, value in plain.items()},
            "swa": {"n_averaged": torch.tensor(3)}
            | {f"module._orig_mod.{key}": value for key, value in averages.items()},
        },
    ],
)
def test_averages_are_found_wherever_a_file_keeps_them(folder, capsys, wrap):
    """Fails when plain weights are taken unasked because the averages have another name."""
    file, (plain, averages) = publish(folder / "hub", SUDOKU), halves()
    torch.save(wrap(plain, averages), file)
    text = failure(capsys, "import", str(file), "--from", "trm")
    assert "holds weights and their averages: add --weights averaged" in text
    assert same(weights_of(file, "--from", "trm", "--weights", "plain"), converted(plain))
    assert same(weights_of(file, "--from", "trm", "--weights", "averaged"), converted(plain | averages))


def converted(weights):
    """Return our names of published weights, which another file holds alone."""
    torch.save(weights, "alone")
    made = import_published("alone", "trm", cycles=2, latent_steps=1, seq_len=16)
    return made.checkpoint["state_dict"]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "module._orig_mod.", "model."])
def test_what_wraps_a_model_leaves_its_names(folder, prefix):
    """Fails when the prefix of distributed or compiled models is taken for another model."""
    plain = random_weights(SUDOKU)
    file = publish(folder / "hub", SUDOKU, weights=plain, prefix=prefix)
    assert same(weights_of(file, "--from", "trm"), converted(plain))


def test_averages_alone_are_taken_as_they_are(folder, capsys):
    """Fails when a file of averages needs plain weights beside them."""
    file, plain = publish(folder / "hub", SUDOKU), random_weights(SUDOKU)
    torch.save({"ema": {"decay": 0.99, "shadow": plain}}, file)
    assert same(weights_of(file, "--from", "trm"), converted(plain))
    assert "holds averages alone" in failure(
        capsys, "import", str(file), "--from", "trm", "--weights", "plain"
    )


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


def test_numbers_may_be_written_with_a_point(folder):
    """Fails when 3.0, which the published code takes for 3, is refused."""
    file = publish(folder / "hub", SUDOKU)
    config = SUDOKU.config() | {"global_batch_size": 96.0, "lr_warmup_steps": 7.0}
    config["arch"] |= {"H_cycles": 3.0, "L_cycles": "2.0", "hidden_size": 64.0, "num_heads": 2.0}
    (file.parent / "all_config.yaml").write_text(yaml.safe_dump(config))
    run(file, "--from", "trm", "--halting", "correctness")
    made = loaded("step_65000.ckpt")["hyper_parameters"]
    assert (made["cycles"], made["refiner"]["init_args"]["latent_steps"]) == (3, 2)
    assert type(made["cycles"]) is int
    assert made["scheduler"]["init_args"] == {"warmup": 7}
    assert known_data({"data_path": "sudoku-extreme-1k"} | config)["init_args"]["batch_size"] == 96


def test_objects_of_numpy_and_omegaconf_are_read_as_what_they_stand_for(folder):
    """Fails when a configuration that a program wrote with its own objects in it is no YAML."""
    file = publish(folder / "hub", SUDOKU)
    config = SUDOKU.config() | {"evaluators": Unknown()}
    config["arch"] |= {
        "H_cycles": np.int64(5),
        "mlp_t": np.bool_(True),
        "halt_exploration_prob": np.float32(0.25),
    }
    text = yaml.dump(config | {"lr": np.float64(3e-4)}) + LISTS
    (file.parent / "all_config.yaml").write_text(text)
    run(file, "--from", "trm")
    made = loaded("step_65000.ckpt")["hyper_parameters"]
    assert (made["cycles"], made["exploration"]) == (5, 0.25)
    assert made["optimizer"]["init_args"]["lr"] == 3e-4
    read = read_published(str(file)).config
    assert read["data_paths"] == ["data/mine", ["b"]]
    assert read["evaluators"] == f"a Python object, {__name__}.Unknown"


class Unknown:
    """A class that no other program has."""

    def __setstate__(self, state):
        raise AssertionError("made from a file")


LISTS = """
data_paths: &id001 !!python/object:omegaconf.listconfig.ListConfig
  _content:
  - !!python/object:omegaconf.nodes.AnyNode
    _metadata: !!python/object:omegaconf.base.Metadata
      key: 0
      ref_type: &id002 !!python/name:typing.Any ''
      resolver_cache: !!python/object/apply:collections.defaultdict
      - &id003 !!python/name:builtins.dict ''
    _parent: *id001
    _val: data/mine
  - !!python/object:omegaconf.listconfig.ListConfig
    _content:
    - !!python/object:omegaconf.nodes.AnyNode {_parent: *id001, _val: b}
  _metadata: !!python/object:omegaconf.base.ContainerMetadata {element_type: *id002, key: data_paths}
  _parent: null
"""
"""A list as omegaconf 2.3 is written by `yaml.dump`."""


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


def named(file, shape, *folders, **settings):
    """Let the configuration say that the data were in these folders."""
    config = shape.config() | {"data_paths": list(folders)} | settings
    (file.parent / "all_config.yaml").write_text(yaml.safe_dump(config))
    return file


def test_known_data_come_along(folder, capsys):
    """Fails when the folder's name is not recognized, or its batch size is forgotten."""
    shape = SUDOKU._replace(tokens=81, vocab=11)
    run(named(publish(folder / "hub", shape), shape, "data/sudoku-extreme-1k-aug-1000"), "--from", "trm")
    data = printed(capsys, "test", "--ckpt_path", "step_65000.ckpt")["data"]
    assert data["class_path"] == "recurlight.SudokuData"
    given = data["init_args"]
    assert (given["source"], given["num_train"], given["num_test"]) == ("hub", 1000, None)
    assert given["batch_size"] == 768


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("data/maze-30x30-hard-1k", 900),
        ("data/arc1concept-aug-1000", 900),
        ("data/arc-2-aug-1000/", 900),
        ("/home/marc/data/sudoku-extreme-full", 81),
        ("data/search-5x5", None),
        ("data/maze-9x9-hard-1k", None),
        ("data/sudoku-6x6", None),
        ("arc/mine", None),
    ],
)
def test_the_name_of_a_folder_tells_the_number_of_tokens(name, tokens):
    """Fails when a word is found inside another or in a folder above, or a size in the name is not read."""
    assert known_tokens({"data_paths": [name]}) == known_tokens({"data_path": name}) == tokens


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("sudoku-extreme-1k-aug-1000", 1000),
        ("sudoku-extreme-2k", 2000),
        ("sudoku-extreme-full", None),
        ("sudoku-6x6", ...),
        ("sudoku-mine", ...),
        ("maze-30x30-hard-1k", ...),
    ],
)
def test_data_are_known_by_their_full_name_only(name, count):
    """Fails when puzzles of another kind or size come along as Sudoku-Extreme."""
    data = known_data({"data_paths": [f"data/{name}"]})
    assert (data["init_args"]["num_train"] if data else ...) == count


def test_other_published_data_tell_the_number_of_tokens(folder):
    """Fails when a maze's 900 tokens are not known from the name."""
    run(
        named(publish(folder / "hub", TRM_ATTENTION), TRM_ATTENTION, "data/maze-30x30-hard-1k"),
        "--from",
        "trm",
    )
    assert loaded("step_65000.ckpt")["hyper_parameters"]["seq_len"] == 900


def test_data_of_another_size_are_not_taken_for_known_ones(folder):
    """Fails when a folder of 6x6 Sudoku brings puzzles of 9x9 along."""
    shape = SUDOKU._replace(tokens=36, vocab=8)
    run(named(publish(folder / "hub", shape), shape, "data/sudoku-6x6"), "--from", "trm")
    made = loaded("step_65000.ckpt")
    assert made["hyper_parameters"]["seq_len"] == 36
    assert "datamodule_hyper_parameters" not in made


def test_no_data_can_be_asked_for(folder, capsys):
    """Fails when data that are known by name come along although none were wanted."""
    shape = SUDOKU._replace(tokens=81, vocab=12)
    file = named(publish(folder / "hub", shape), shape, "data/sudoku-extreme-1k-aug-1000")
    assert "or --data none" in failure(capsys, "import", str(file), "--from", "trm")
    run(file, "--from", "trm", "--data", "none")
    assert "data: none, give --data RECIPE" in capsys.readouterr().out
    assert "datamodule_hyper_parameters" not in loaded("step_65000.ckpt")


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
