import pytest

from recurlight.__main__ import main
from recurlight.cli.recipes import RecipeError, config_path, recipes_dir, run


@pytest.fixture
def folder(tmp_path):
    recipes = tmp_path / "recipes"
    (recipes / "small").mkdir(parents=True)
    (recipes / "trm_sudoku.yaml").write_text("# trm_sudoku: TRM on Sudoku\nmodel: {}\n")
    (recipes / "small" / "maze.yaml").write_text("model: {}\n")
    return recipes


def test_list_shows_names_and_descriptions(folder, capsys):
    run(["list"], folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["small/maze", "trm_sudoku  TRM on Sudoku"]


def test_show_prints_the_file_as_it_is(folder, capsys):
    run(["show", "trm_sudoku"], folder)
    assert capsys.readouterr().out == "# trm_sudoku: TRM on Sudoku\nmodel: {}\n"


def test_copy_writes_into_the_current_folder_and_never_overwrites(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(["copy", "trm_sudoku"], folder)
    assert (tmp_path / "trm_sudoku.yaml").read_text() == (folder / "trm_sudoku.yaml").read_text()
    (tmp_path / "trm_sudoku.yaml").write_text("mine")
    with pytest.raises(RecipeError, match=r"trm_sudoku\.yaml exists already"):
        run(["copy", "trm_sudoku"], folder)
    assert (tmp_path / "trm_sudoku.yaml").read_text() == "mine"


def test_copy_takes_a_file_or_a_folder(folder, tmp_path):
    run(["copy", "small/maze", str(tmp_path / "mine.yaml")], folder)
    run(["copy", "small/maze", str(tmp_path)], folder)
    assert (tmp_path / "mine.yaml").is_file()
    assert (tmp_path / "maze.yaml").is_file()
    with pytest.raises(RecipeError, match="does not exist"):
        run(["copy", "small/maze", str(tmp_path / "no" / "mine.yaml")], folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "trm_sudok"], "no recipe 'trm_sudok'; did you mean 'trm_sudoku'"),
        (["shwo", "x"], "'shwo' is not an action on recipes; did you mean 'show'"),
        (["show"], "wrong number of arguments"),
    ],
)
def test_mistakes_are_told_with_what_to_type(folder, arguments, message):
    with pytest.raises(RecipeError) as caught:
        run(arguments, folder)
    assert message in str(caught.value)
    assert "recurlight recipes" in str(caught.value)


def test_an_existing_file_wins_over_a_recipe(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_path("trm_sudoku", folder) == folder / "trm_sudoku.yaml"
    (tmp_path / "trm_sudoku").write_text("model: {}")
    assert config_path("trm_sudoku", folder).resolve() == tmp_path / "trm_sudoku"


def test_an_unknown_config_gets_a_suggestion(folder):
    with pytest.raises(RecipeError, match=r"neither a file nor a recipe; did you mean 'trm_sudoku'"):
        config_path("trm_sudoko.yaml", folder)
    with pytest.raises(RecipeError, match="is a folder"):
        config_path(str(folder), folder)


def test_recipes_lie_in_the_package_or_beside_it():
    assert recipes_dir().name == "recipes"


def test_the_command_reports_in_one_line(capsys):
    assert main(["recipes", "shwo"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("recurlight: error: ")
    assert error.count("\n") == 1
