import pytest

from recurlight.cli.explain.rules import explain


class Types:
    def choices(self, owner, key):
        places = {
            (None, "model.truncation"): ("GradientTruncation", ["LastCycles", "LastUpdates"]),
            ("recurlight.ImplicitGradient", "solver"): ("FixedPointSolver", ["PicardSolver"]),
        }
        return places.get((owner, key), ("class", []))

    def settings(self, owner, section):
        if owner is None and not section:
            return "the command", ["model", "data", "trainer", "ckpt_path"]
        known = {"model": ("RecursiveModule", ["width", "cycles"]), "x.LastCycles": ("LastCycles", ["count"])}
        return known.get(owner or section, (section, []))


def told(message):
    return str(explain(message, Types()))


NESTED = """Parser key "model.truncation":

  - Expected a path but LastCycle either not accessible or invalid
  - Problem with given class_path '{path}':
    {reason}"""


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "unrecognized arguments: --model.widht 3",
            "model.widht: RecursiveModule has no setting 'widht'; did you mean 'width'?",
        ),
        (
            "Subcommand 'fit' does not accept option 'model.widht'",
            "model.widht: RecursiveModule has no setting 'widht'; did you mean 'width'?",
        ),
        (
            "Subcommand 'fit' does not accept option 'modle.width'",
            "modle: there is no section 'modle'; did you mean 'model'?",
        ),
        ("unrecognized arguments: foo", "'foo' is not expected here: settings are written --key value"),
        (
            NESTED.format(path="x.LastCycles", reason="Option 'cuont' is not accepted"),
            "model.truncation.cuont: LastCycles has no setting 'cuont'; did you mean 'count'?",
        ),
        (
            NESTED.format(path="mine.A", reason="No module named 'mine'"),
            "model.truncation: there is no module 'mine' for mine.A, "
            "neither installed nor in the current folder",
        ),
        (
            NESTED.format(
                path="recurlight.ImplicitGradient",
                reason='Parser key "solver":\n      Expected a dot import path string: Picrd',
            ),
            "model.truncation.solver: 'Picrd' is not a known FixedPointSolver; known: PicardSolver",
        ),
        (
            'Parser key "model.truncation":\n  - Expected a dot import path string: LastCycle',
            "model.truncation: 'LastCycle' is not a known GradientTruncation; did you mean 'LastCycles'?",
        ),
        (
            "Parser key \"model.width\":\n  Expected a <class 'int'>. Got value: abc",
            "model.width: expected int, got 'abc'",
        ),
        (
            'Parser key "trainer.max_epochs":\n  Does not validate against any of the Union subtypes\n'
            "  Subtypes: [<class 'int'>, <class 'NoneType'>]\n  Errors:\n    - Expected a <class 'int'>\n"
            "    - Expected a <class 'NoneType'>\n  Given value type: <class 'str'>\n  Given value: abc",
            "trainer.max_epochs: expected int or null, got 'abc'",
        ),
        (
            'Linked "model.vocab_size" must be given via "data.vocab_size".',
            "model.vocab_size: this follows from data.vocab_size: leave it out",
        ),
        ("argument --model.width: expected one argument", "--model.width needs a value"),
    ],
)
def test_messages_become_one_line(message, line):
    assert told(message) == line


def test_missing_settings_are_listed_without_the_command():
    text = told("the following arguments are required: fit.model.refiner, fit.data")
    assert text.startswith("missing: model.refiner, data; ")
    assert "recurlight recipes list" in text


def test_a_message_without_a_rule_stays_readable():
    assert told('Parser key "a.b":\n  something\n    unheard of') == "a.b: something unheard of"


def test_abstract_classes_come_with_the_concrete_ones():
    text = told('Parser key "model.truncation":\n  Expected an instantiatable class, but x.Base is abstract')
    assert "'Base' is abstract" in text
    assert text.endswith("known: LastCycles, LastUpdates")


def test_an_optimizers_message_is_unwrapped():
    text = told(
        'Parser key "model.optimizer":\n  Type typing.Callable[[X], Y] expects a function or a callable '
        "class: Option 'cuont' is not accepted. "
        "Got value: Namespace(class_path='x.LastCycles', init_args=Namespace())"
    )
    assert text == "model.optimizer.cuont: LastCycles has no setting 'cuont'; did you mean 'count'?"
