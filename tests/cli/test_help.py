# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""Help comes a screen at a time, what one looks for first."""

import re
import shlex
import shutil

import pytest

import recurlight.cli.app
from recurlight.__main__ import COMMANDS, RUNS, main
from recurlight.cli.recipes import recipes_dir

from .fixtures import cache, failure, folder, trained


def helped(capsys, *arguments):
    """Return what a command line prints before it stops."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def options(text):
    return re.findall(r"^  (--[\w.]+)", text, re.MULTILINE)


@pytest.mark.parametrize("command", RUNS)
@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--config", "nowhere", "--help"]])
def test_the_help_of_a_command_fits_a_screen(command, arguments, capsys):
    assert main([command, *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert any(line.startswith(f"  recurlight {command} --") for line in lines)
    for name in ("model", "data", "trainer", "all"):
        assert any(line.endswith(f"--help {name}") for line in lines)


def test_the_help_of_test_leads_to_the_settings_of_a_search(capsys):
    main(["test", "--help"])
    assert "--search.help Search" in capsys.readouterr().out
    assert "--search.until_holds" in options(helped(capsys, "test", "--search.help", "Search"))


@pytest.mark.parametrize("name", ["model", "data", "trainer"])
def test_a_section_shows_its_settings_alone(name, capsys):
    shown = options(helped(capsys, "fit", "--help", name))
    assert shown
    assert all(option.split(".")[0] == f"--{name}" for option in shown)
    assert shown == options(helped(capsys, "fit", f"--help={name}", "--config", "tiny"))


def test_all_of_it_begins_with_the_model_and_the_data(capsys):
    shown = options(helped(capsys, "fit", "--help", "all"))
    sections = list(dict.fromkeys(option.split(".")[0] for option in shown))
    assert sections[:3] == ["--model", "--data", "--trainer"]
    assert {"--print_config", "--seed_everything", "--ckpt_path"} <= {*sections}
    assert {"--model.width", "--trainer.precision", "--data.help"} <= {*shown}


def test_an_unknown_section_is_told(capsys):
    assert failure(capsys, "fit", "--help", "modle") == (
        "--help modle: there is no such section; did you mean 'model'?"
    )
    assert "give model, data, trainer, all" in failure(capsys, "fit", "--help", "everything")


def test_classes_have_help_of_their_own(capsys):
    assert "--data.size" in helped(capsys, "fit", "--data.help", "SudokuData")


@pytest.mark.parametrize("equals", [True, False])
def test_the_arguments_of_a_class_of_ones_own_are_shown(equals, tmp_path, capsys):
    """Fails if only classes of the library may be asked for; a flag is the user's own word."""
    source = "from recurlight import FixedHalting\nclass Own(FixedHalting):\n"
    (tmp_path / "asked.py").write_text(
        f"{source}    def __init__(self, patience: int = 3):\n        super().__init__()\n"
    )
    flag = ["--model.halting.help=asked.Own"] if equals else ["--model.halting.help", "asked.Own"]
    assert "--model.halting.patience" in helped(capsys, "fit", *flag)


def page(capsys, *arguments):
    """Return the lines of a help, whether it ends the process or not."""
    capsys.readouterr()
    try:
        status = main([*arguments, "--help"])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 0
    return capsys.readouterr().out.splitlines()


def examples(lines):
    """Return the command lines of a help, without what is said beside them."""
    return [
        shlex.split(re.split(r"\s{2,}", line.strip())[0]) for line in lines if line.startswith("  recurl")
    ]


def test_the_first_page_names_all_commands_on_a_screen(capsys):
    lines = page(capsys)
    assert len(lines) <= 40
    named = re.findall(r"^  (\w+) ", "\n".join(lines), re.MULTILINE)
    assert {*named} == {*COMMANDS, "recurlight"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_fits_a_screen_and_shows_how_to_call_it(command, capsys):
    lines = page(capsys, command)
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 110
    assert lines[0].startswith(f"usage: recurlight {command}")
    shown = examples(lines)
    assert all(words[:2] == ["recurlight", command] for words in shown)
    assert shown or command == "env"  # which takes nothing


@pytest.mark.parametrize("command", ["solve", "trace", "doctor", "calibrate", "recipes", "policies"])
def test_examples_work(command, trained, folder, monkeypatch, capsys):
    """Fails if one names a flag, a recipe or a file that is not there."""
    monkeypatch.setattr(recurlight.cli.app, "recipes_dir", recipes_dir)  # those that come with recurlight
    shutil.copy(trained, "x.ckpt")
    (folder / "puzzles.csv").write_text(f"question\n{'.' * 16}\n")
    for words in examples(page(capsys, command)):
        if {"<", "---Q", "--picture"} & {*words}:  # of a shell, of another task, of the extra viz
            continue
        if command == "calibrate":  # of a model that knows nothing
            assert "nothing to calibrate" in failure(capsys, *words[1:])
        else:
            assert main(words[1:]) == 0
