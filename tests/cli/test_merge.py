import pytest

from recurlight.cli.config import ConfigError, nested, read, split
from recurlight.cli.merge import has_key, overlay

RECIPE = {
    "model": {
        "width": 8,
        "truncation": {"class_path": "recurlight.LastCycles", "init_args": {"count": 1}},
        "refiner": {"class_path": "TwoLevelRefiner", "init_args": {"latent": {"class_path": "MixerCell"}}},
    },
    "trainer": {"plugins": [1, 2]},
}

AVERAGED = {"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.9, "use_buffers": False}}


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ({"callbacks": ["Timer"]}, [AVERAGED, "Timer"]),
        ({"callbacks": {"class_path": "Timer"}}, [AVERAGED, {"class_path": "Timer"}]),
        ({"callbacks+": ["Timer"]}, [AVERAGED, "Timer"]),
        ({"callbacks+": "EMAWeightAveraging"}, [AVERAGED, "EMAWeightAveraging"]),
        ({"callbacks": []}, [AVERAGED]),
        ({"callbacks": None}, None),
        ({"callbacks-": "EMAWeightAveraging"}, []),
        ({"callbacks-": ["EMAWeightAveraging"], "callbacks": ["Timer"]}, ["Timer"]),
    ],
)
def test_an_overlay_adds_to_the_callbacks_unless_it_says_otherwise(over, expected):
    for under in ([AVERAGED], AVERAGED):
        trainer = overlay({"trainer": {"callbacks": under}}, {"trainer": over})["trainer"]
        assert trainer == {"callbacks": expected}


def test_a_callback_of_the_same_class_keeps_the_arguments_that_are_not_given_anew():
    over = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.5}}
    (merged,) = overlay({"callbacks": [AVERAGED]}, {"callbacks": [over]})["callbacks"]
    assert merged["init_args"] == {"decay": 0.5, "use_buffers": False}


def test_callbacks_of_one_class_are_laid_over_each_other_in_their_order():
    def saving(*names):
        return [{"class_path": "ModelCheckpoint", "init_args": {"monitor": name}} for name in names]

    merged = overlay({"callbacks": saving("a", "b")}, {"callbacks": saving("c", "d", "e")})["callbacks"]
    assert merged == saving("c", "d", "e")


def test_a_callback_to_take_out_must_be_there():
    with pytest.raises(ConfigError, match=r"callbacks-: there is no 'Timer' .* are: EMAWeightAveraging"):
        overlay({"callbacks": [AVERAGED]}, {"callbacks-": "Timer"})


def test_other_lists_grow_where_an_overlay_says_so():
    assert overlay(RECIPE, {"trainer": {"plugins+": [3]}})["trainer"] == {"plugins": [1, 2, 3]}


def test_sections_merge_and_lists_are_replaced():
    merged = overlay(RECIPE, {"model": {"cycles": 4}, "trainer": {"plugins": [3]}})
    assert merged["model"]["width"] == 8
    assert merged["model"]["cycles"] == 4
    assert merged["trainer"]["plugins"] == [3]


@pytest.mark.parametrize("other", ["LastUpdates", {"class_path": "LastUpdates"}, "mine.LastCycles"])
def test_another_class_takes_none_of_the_arguments(other):
    assert overlay(RECIPE, {"model": {"truncation": other}})["model"]["truncation"] == other


@pytest.mark.parametrize(
    "same",
    [
        {"class_path": "LastCycles", "init_args": {"extra": 2}},
        {"init_args": {"extra": 2}},
        {"extra": 2},
    ],
)
def test_the_same_class_keeps_its_arguments(same):
    node = overlay(RECIPE, {"model": {"truncation": same}})["model"]["truncation"]
    assert node["init_args"] == {"count": 1, "extra": 2}


def test_naming_the_same_class_changes_no_argument():
    node = overlay(RECIPE, {"model": {"truncation": "LastCycles"}})["model"]["truncation"]
    assert node["init_args"] == {"count": 1}


def test_arguments_follow_a_class_given_as_a_bare_name():
    node = overlay({"a": "LastCycles"}, {"a": {"count": 3}})["a"]
    assert node == {"class_path": "LastCycles", "init_args": {"count": 3}}


def test_arguments_may_be_written_in_both_ways():
    """Fails if arguments of a class that a default names end up in two places."""
    over = overlay({"a": {"n": 1}}, {"a": {"init_args": {"m": 2}}})
    assert over == {"a": {"init_args": {"n": 1, "m": 2}}}
    assert overlay(over, {"a": {"k": 3}}) == {"a": {"init_args": {"n": 1, "m": 2, "k": 3}}}


def test_merging_leaves_its_inputs_alone():
    over = {"model": {"truncation": {"count": 3}}}
    overlay(RECIPE, over)
    assert RECIPE["model"]["truncation"]["init_args"] == {"count": 1}
    assert over == {"model": {"truncation": {"count": 3}}}


@pytest.mark.parametrize(
    ("words", "truncation"),
    [
        (["--model.truncation", "LastUpdates"], "LastUpdates"),
        (["--model.truncation.class_path", "LastUpdates"], {"class_path": "LastUpdates"}),
        (["--model.truncation={class_path: LastUpdates}"], {"class_path": "LastUpdates"}),
        (["--model.truncation", "LastCycles"], {"class_path": "LastCycles", "init_args": {"count": 1}}),
        (
            ["--model.truncation.count", "3"],
            {"class_path": "recurlight.LastCycles", "init_args": {"count": "3"}},
        ),
        (["--model.truncation", "null"], None),
        (
            ["--model.truncation", "LastUpdates", "--model.truncation.init_args.count", "2"],
            {"class_path": "LastUpdates", "init_args": {"count": "2"}},
        ),
    ],
)
def test_flags_are_laid_over_as_files_are(words, truncation):
    """Fails if a flag that switches a class keeps its arguments, or one that does not loses them."""
    config = RECIPE
    for setting in split(words).settings:
        config = overlay(config, setting)
    assert config["model"]["truncation"] == truncation
    assert config["model"]["width"] == 8


def test_a_flag_reaches_through_init_args():
    config = {"model": {"refiner": {"class_path": "A", "init_args": {"latent": {"class_path": "MixerCell"}}}}}
    over = overlay(config, nested("model.refiner.latent", "TransformerCell"))
    assert over["model"]["refiner"] == {"class_path": "A", "init_args": {"latent": "TransformerCell"}}


def test_lists_grow_and_their_last_class_is_set():
    """Fails if `key+` replaces the list, or a setting does not go to the class that was named last."""
    words = ["--a+=X", "--a.n", "1", "--a+", "Y", "--a.n=2", "--a+=[Z, {class_path: W}]"]
    config = {}
    for setting in split(words).settings:
        config = overlay(config, setting)
    one, two = ({"class_path": kind, "init_args": {"n": n}} for kind, n in (("X", "1"), ("Y", "2")))
    assert config == {"a": [one, two, "Z", {"class_path": "W"}]}
    assert overlay({"a": None}, {"a+": "X"}) == overlay({"a": False}, {"a+": ["X"]}) == {"a": ["X"]}
    assert overlay({"a": {"class_path": "X"}}, {"a+": "Y"}) == {"a": [{"class_path": "X"}, "Y"]}


def test_init_args_that_are_commented_out_change_nothing():
    over = {"model": {"truncation": {"class_path": "LastCycles", "init_args": None}}}
    assert overlay(RECIPE, over)["model"]["truncation"]["init_args"] == {"count": 1}


@pytest.mark.parametrize("words", [["--path", "123"], ["--path=1e3"], ["--path", "true"], ["--path", "{"]])
def test_values_stay_text_until_their_type_is_known(words):
    """Fails if `--data.path 123` becomes a number, which no path is."""
    assert split(words).settings == [{"path": words[-1].removeprefix("--path=")}]


def test_has_key_looks_through_init_args_and_lists():
    assert has_key(RECIPE, ("model", "truncation", "count"))
    assert not has_key(RECIPE, ("model", "truncation", "cuont"))
    assert has_key({"a": [1, {"class_path": "X", "init_args": {"n": 1}}]}, ("a", "n"))
    assert has_key({"a+": "X"}, ("a",))
    assert not has_key({"a+": "X"}, ("a", "n"))


def test_config_without_a_value_is_refused():
    for words in (["--config"], ["--config", "--model.width"], ["--config="]):
        with pytest.raises(ConfigError, match="--config needs a value"):
            split(words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:\n  width: [1,\n", r"bad.yaml, line 3: not valid YAML"),
        ("- 1\n- 2\n", "expected sections"),
        ("just words", "expected sections"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read(path)


def test_numbers_in_exponent_form_are_numbers_and_empty_sections_nothing(tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text("model: {a: 1e-3}\ndata:\n")
    assert read(path) == {"model": {"a": 0.001}}


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_keys_in_a_file_means_nothing(order):
    """Fails if a callback that is taken out and put in anew is lost where the keys stand otherwise."""
    under = {"callbacks": [{"class_path": "Average", "init_args": {"decay": 0.9}}, "Timer"]}
    over = dict([("callbacks-", ["Average"]), ("callbacks", [{"class_path": "Average"}])][::order])
    assert overlay(under, over) == {"callbacks": ["Timer", {"class_path": "Average"}]}
