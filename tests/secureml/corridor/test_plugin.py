"""The shape of a plugin: a misspelt door must not be an open one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secureml import ConfigError, Kind, Phase, Plugin
from secureml.corridor.plugin import EXTRAS, check_shape, doors_of


def make(**words):
    """Return a plugin class."""
    return type("Sample", (Plugin,), {"name": "sample", **words})


def test_the_base_class_stands_at_no_door():
    """Presence is participation."""
    assert doors_of(Plugin) == ()


def test_a_plugin_stands_where_it_defines_a_method():
    """In the order of the corridor, not of the class."""
    cls = make(record=lambda self, exchange: None, admit=lambda self, exchange: None)

    assert doors_of(cls) == (Phase.ADMIT, Phase.RECORD)


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("authorise", "authorize"),
        ("indentify", "identify"),
        ("validates", "validate"),
        ("on_admit", "admit"),
        ("command", "commands"),
    ],
)
def test_a_misspelt_door_stops_the_start_with_a_suggestion(word, suggestion):
    """The British spelling is the classic."""
    with pytest.raises(ConfigError, match=f"{word}.*{suggestion}"):
        check_shape(make(**{word: lambda self: None}))


def test_an_unlike_word_is_advised_to_be_private():
    """Where nothing is near, the advice is an underscore."""
    with pytest.raises(ConfigError, match="underscore"):
        check_shape(make(xyzzy=lambda self: None))


def test_a_public_method_of_a_parent_counts_too():
    """Inheritance hides nothing."""
    with pytest.raises(ConfigError, match="authorise"):
        check_shape(type("Child", (make(authorise=lambda self: None),), {}))


@given(st.sets(st.sampled_from(sorted({*EXTRAS, *(phase.value for phase in Phase)}))))
def test_any_choice_of_doors_and_extras_is_a_plugin(words):
    """And private methods are its own affair."""
    check_shape(make(_own=lambda self: None, **dict.fromkeys(words, lambda self: None)))


def test_a_problem_code_begins_with_the_plugins_name():
    """So that two plugins cannot meet in one code."""
    check_shape(make(problems=(Kind("sample.full", 429, "Full"),)))
    with pytest.raises(ConfigError, match="must begin"):
        check_shape(make(problems=(Kind("other.full", 429, "Full"),)))


def test_a_config_error_is_one_line():
    """Whatever went into it."""
    error = ConfigError("a\nb", table="t", key="k", fix="do\nthis", file="f")

    assert str(error) == "f: [t] k: a b; fix: do this"


def test_a_place_is_filled_in_but_never_overwritten():
    """The inner fault knows best."""
    error = ConfigError("m", table="inner").within(file="f", table="outer")

    assert str(error) == "f: [inner]: m"
