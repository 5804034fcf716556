# ruff: noqa: F401, F811  # fixtures are imported, and then named as arguments
"""`recurlight schema` takes what the command line takes, and refuses what it refuses."""

import json
import re

import pytest
import yaml

from recurlight.__main__ import main
from recurlight.cli.recipes import recipe_names, recipes_dir

from ..fixtures import cache, folder

KINDS = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
    "null": type(None),
}  # fmt: skip


def fits(value, schema, whole):
    """Say whether plain data are as a schema says, for those of its words that ours has."""
    if "$ref" in schema:
        return fits(value, whole["definitions"][schema["$ref"].removeprefix("#/definitions/")], whole)
    if "if" in schema:
        branch = "then" if fits(value, schema["if"], whole) else "else"
        return fits(value, schema[branch], whole)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    same = any(isinstance(value, KINDS[k]) and (type(value) is not bool or k == "boolean") for k in kinds)
    texts = [schema["pattern"]] if "pattern" in schema and isinstance(value, str) else []
    right = [
        same or not kinds,
        value in schema.get("enum", [value]),
        all(re.search(pattern, value) for pattern in texts),
        "anyOf" not in schema or any(fits(value, option, whole) for option in schema["anyOf"]),
        "not" not in schema or not fits(value, schema["not"], whole),
    ]
    if isinstance(value, list):
        right += [fits(item, schema.get("items", {}), whole) for item in value]
    if isinstance(value, dict):
        right += [name in value for name in schema.get("required", [])]
        right += [fits(inner, _of(str(name), schema), whole) for name, inner in value.items()]
    return all(right)


def _of(name, schema):
    """Return what a schema says of one key; what nothing fits, of one that may not be there."""
    if name in schema.get("properties", {}):
        return schema["properties"][name]
    patterns = schema.get("patternProperties", {})
    other = schema.get("additionalProperties", True)
    found = next((inner for pattern, inner in patterns.items() if re.search(pattern, name)), other)
    return {} if found is True else {"enum": []} if found is False else found


@pytest.fixture(scope="module")
def made():
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("sys.stdout.write", printed.append)
        assert main(["schema"]) == 0
    return json.loads("".join(printed))


@pytest.mark.parametrize("name", recipe_names(recipes_dir()))
def test_every_recipe_and_overlay_fits(name, made):
    assert fits(yaml.safe_load((recipes_dir() / f"{name}.yaml").read_text()), made, made)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("model: {truncation: LastCycles, halting: mine.Patient}", True),
        ("model: {truncation: {class_path: mine.Window, init_args: {depth: 3}}}", True),
        ("model: {truncation: {count: 2}}", True),  # of the class that a recipe names
        ("model: {class_path: mine.Deep, depth: 3}", True),
        ("trainer: {callbacks+: Timer}", True),
        ("search: {width: 4, selector: Majority}", True),
        ("modle: {}", False),
        ("model: {widht: 3}", False),
        ("model: {width: wide}", False),
        ("model: {vocab_size: 9}", False),  # it follows from the data
        ("model: {halting: LastCycles}", False),
        ("model: {truncation: {class_path: LastCycles, init_args: {cuont: 3}}}", False),
        ("model: {truncation: {class_path: LastCycles, count: 3}}", False),
        ("data: {class_path: SudokuData, init_args: {size: 7}}", False),
        ("trainer: {max_steps: many}", False),
    ],
)
def test_right_and_wrong_settings_are_told_apart(text, right, made):
    assert fits(yaml.safe_load(text), made, made) is right


def test_what_settings_mean_is_shown(made):
    width = made["properties"]["model"]["else"]["properties"]["width"]
    assert width["type"] == "integer"
    assert width["description"]
    refiners = made["definitions"]["recurlight.refiners.base.Refiner"]["anyOf"]
    told = {
        one["properties"]["class_path"]["enum"][0]: one
        for one in refiners
        if "description" in one and "properties" in one
    }
    assert told["TwoLevelRefiner"]["description"].endswith(".")
    assert "TwoLevelRefiner" in refiners[0]["enum"]


def test_a_copied_recipe_names_the_schema_beside_it(folder, made, capsys):
    assert main(["recipes", "copy", "quickstart", "mine.yaml", "--schema"]) == 0
    assert capsys.readouterr().out == "mine.yaml\nrecurlight.schema.json\n"
    first, _, rest = (folder / "mine.yaml").read_text().partition("\n")
    assert first == "# yaml-language-server: $schema=./recurlight.schema.json"
    assert rest == (recipes_dir() / "quickstart.yaml").read_text()
    assert json.loads((folder / "recurlight.schema.json").read_text()) == made


def test_the_flag_may_stand_before_the_name_and_nothing_else_is_written_over(folder, capsys):
    """Fails if a file of somebody else's is lost, or half of the copy is left."""
    assert main(["recipes", "copy", "--schema", "quickstart", "one.yaml"]) == 0
    assert main(["recipes", "copy", "--schema", "quickstart", "two.yaml"]) == 0  # replaces its own
    (folder / "recurlight.schema.json").write_text("precious")
    capsys.readouterr()
    assert main(["recipes", "copy", "quickstart", "mine.yaml", "--schema"]) == 2
    assert "recurlight.schema.json is no schema of recurlight, and is not replaced" in capsys.readouterr().err
    assert (folder / "recurlight.schema.json").read_text() == "precious"
    assert not (folder / "mine.yaml").exists()
