"""Attack: write a plugin whose check never happens. Each way stops the start, or refuses."""

from __future__ import annotations

import functools
import inspect
import re
from functools import cached_property, lru_cache, partial, partialmethod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema

from secureml import ConfigError, Kind, Phase, Plugin
from secureml.pipeline.plugin import EXTRAS
from secureml.pipeline.plugin_class import FORMS, check_class, check_made
from secureml.testing import Harness

HERE = __file__
ITERATED = {"records", "measures", "credentials", "backup_order"}


def make(**words):
    """Return a plugin class."""
    return type("Sample", (Plugin,), {"name": "sample", **words})


def refusal(cls):
    """Return the one line with which a class stops the start."""
    with pytest.raises(ConfigError) as refused:
        check_class(cls)
    line = str(refused.value)
    assert "\n" not in line
    assert "; fix: " in line
    return line


def acts(self, *given):
    """What every phase may be."""


async def waits(self, *given):
    """A coroutine."""


def yields(self, *given):
    """A generator."""
    yield


async def both(self, *given):
    """An async generator."""
    yield


class Awaited:
    """An object that is called, and never runs."""

    async def __call__(self, *given):
        """Refuse nobody."""


def decorated(function):
    """Return a function around another, as decorators do."""

    @functools.wraps(function)
    def around(*given):
        return function(*given)

    return around


def at(word):
    """Return as many arguments as a method takes without its self."""
    return (None,) * len(FORMS[word].arguments)


# -- what never runs ------------------------------------------------------------------------------

WAYS = {
    "async def": lambda: waits,
    "async generator": lambda: both,
    "generator": lambda: yields,
    "partial": lambda: partial(waits, None),
    "partial of a partial": lambda: partial(partial(waits), None),
    "partialmethod": lambda: partialmethod(waits),
    "staticmethod": lambda: staticmethod(waits),
    "classmethod": lambda: classmethod(waits),
    "object": Awaited,
    "decorated": lambda: decorated(waits),
    "decorated twice": lambda: decorated(decorated(yields)),
    "cached": lambda: lru_cache(waits),
    "bound elsewhere": lambda: Awaited().__call__,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("word", sorted(FORMS))
def test_what_would_be_called_and_never_run_stops_the_start(word, way):
    """In every phase and extra: Python would only warn, and the request would pass."""
    method = WAYS[way]()
    if word in ITERATED and way in ("generator", "decorated twice"):
        check_class(make(**{word: method}))  # whoever calls it goes through it
        return
    line = refusal(make(**{word: method}))
    assert "never run" in line
    assert f"Sample: {word} is " in line
    assert line.startswith("[plugins.sample]: ")
    assert line.endswith(f"write def {word}({', '.join(('self', *FORMS[word].arguments))}) "
                         f"-> {FORMS[word].returns}:")  # fmt: skip


def test_the_place_is_named_with_file_and_line():
    """An author goes straight there."""
    line = inspect.getsourcelines(waits)[1]

    assert f"({HERE}:{line})" in refusal(make(limit=waits))
    assert f"({HERE}:{line})" in refusal(make(limit=staticmethod(waits)))
    assert f"({HERE}:{line})" in refusal(make(limit=decorated(waits)))


def test_a_parent_that_never_runs_counts_too():
    """Inheritance hides nothing."""
    assert "limit is async def" in refusal(type("Child", (make(limit=waits),), {}))


def test_a_constructor_that_is_a_coroutine_stops_the_start():
    """It would be an error of Python's, with a traceback."""
    assert "__init__ is async def" in refusal(make(__init__=waits))


# -- what is no method, or another one ------------------------------------------------------------


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (None, "limit is None"),
        (5, "limit is 5"),
        ("refuse", "limit is 'refuse'"),
        (property(acts), "limit is a property"),
        (cached_property(acts), "limit is a property"),
        (type("Inner", (), {}), "limit is a class"),
    ],
)
def test_a_phase_that_is_no_method_stops_the_start(thing, says):
    """It would be found at the first request."""
    line = refusal(make(limit=thing))
    assert says in line
    assert "write def limit(self, exchange: Exchange) -> None:" in line


@pytest.mark.parametrize("word", sorted(FORMS))
@pytest.mark.parametrize("off", [-1, 1])
def test_a_wrong_number_of_arguments_stops_the_start(word, off):
    """Found by the first caller, it would be a 500 for everybody."""
    count = len(FORMS[word].arguments) + off
    names = ["self", *(f"given{n}" for n in range(count))] if count >= 0 else []
    space = {}
    exec(f"def method({', '.join(names)}): pass", space)

    line = refusal(make(**{word: space["method"]}))
    assert f"{word} takes (" in line
    assert f"is called as {word}(" in line


def test_a_keyword_that_nobody_gives_stops_the_start():
    """What must be given by name is not given."""

    def limit(self, exchange, *, strict):
        """Refuse no one."""

    assert "limit takes" in refusal(make(limit=limit))


def test_a_static_method_with_a_self_stops_the_start():
    """Nobody gives it one."""

    def limit(self, exchange):
        """Refuse no one."""

    assert "limit takes (self, exchange)" in refusal(make(limit=staticmethod(limit)))
    check_class(make(limit=classmethod(limit)))
    check_class(make(limit=staticmethod(lambda exchange: None)))


def test_a_method_without_a_self_stops_the_start():
    """The oldest slip of all."""
    assert "limit takes" in refusal(make(limit=lambda: None))


@pytest.mark.parametrize("given", ["self", "self, config", "self, config, host, more"])
def test_a_constructor_of_another_shape_stops_the_start(given):
    """With the line to write."""
    space = {}
    exec(f"def __init__({given}): pass", space)

    line = refusal(make(__init__=space["__init__"]))
    assert "__init__(config, host)" in line
    assert "def __init__(self, config: Mapping[str, Any], host: Host) -> None:" in line


def test_an_abstract_class_stops_the_start():
    """It can never be made."""
    import abc

    cls = abc.ABCMeta("Half", (Plugin,), {"name": "half", "limit": abc.abstractmethod(acts)})
    assert "limit cannot be had" in refusal(cls)


@given(st.sets(st.sampled_from(sorted({*EXTRAS, *(phase.value for phase in Phase)}))))
def test_any_choice_of_phases_and_extras_is_a_plugin(words):
    """And private methods are its own affair."""
    check_class(make(_own=lambda self: None, **dict.fromkeys(words, acts)))


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("authorise", "authorize"),
        ("indentify", "identify"),
        ("identfy", "identify"),
        ("validates", "validate"),
        ("on_admit", "admit"),
        ("command", "commands"),
        ("LIMIT", "limit"),
        ("Admit", "admit"),
    ],
)
@pytest.mark.parametrize("kind", [lambda f: f, staticmethod, classmethod, partialmethod])
def test_a_misspelt_phase_stops_the_start_with_a_suggestion(word, suggestion, kind):
    """The British spelling is the classic; whatever kind of method it is."""
    line = refusal(make(**{word: kind(acts)}))
    assert word in line
    assert f"did you mean '{suggestion}'" in line


def test_a_property_or_a_value_by_nearly_the_name_of_a_phase_stops_the_start():
    """`identfy = property(...)` is as misspelt as a method."""
    assert "'identify'" in refusal(make(identfy=property(acts)))
    assert "'identify'" in refusal(make(identfy=None))


@pytest.mark.parametrize(
    ("word", "value", "suggestion"),
    [
        ("vitall", True, "vital"),
        ("problem", (), "problems"),
        ("credential_heder", "X-Key", "credential_header"),
        ("run_before", ("errors",), "runs_before"),
        ("verifies_prox", True, "verifies_proxy"),
    ],
)
def test_a_misspelt_attribute_stops_the_start(word, value, suggestion):
    """A recorder that is `vitall` would not be vital."""
    assert f"did you mean '{suggestion}'" in refusal(make(**{word: value}))


def test_words_of_ones_own_are_nobodys_affair():
    """Constants and classes of a plugin, far from any of ours."""
    check_class(make(HOURS=(8, 18), Table=Schema, greeting="hello", heard=[], _limit=yields))


def test_an_unlike_word_is_advised_to_be_private():
    """Where nothing is near, the advice is an underscore."""
    assert "underscore" in refusal(make(xyzzy=lambda self: None))


@pytest.mark.parametrize("name", [None, "", "Opening", "opening-hours", "a b", 5, "x" * 42])
def test_a_plugin_without_a_proper_name_stops_the_start(name):
    """With a name to write; a word of the core's own can be nobody's."""
    cls = type("OpeningHours", (Plugin,), {"name": name} if name is not None else {})
    line = refusal(cls)
    assert 'write name = "opening_hours"' in line
    assert HERE in line


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("schema", Schema()),
        ("schema", dict),
        ("vital", "yes"),
        ("problems", Kind("sample.full", 429, "Full")),
        ("problems", ("sample.full",)),
        ("problems", (Kind("sample.full", "429", "Full"),)),
        ("runs_before", "output_rules"),
        ("aliases", "hours"),
        ("issuers", "https://issuer"),
        ("credential_header", ["X-Key"]),
        ("challenge", b"Bearer"),
        ("identifies_by_connection", 1),
    ],
    ids=str,
)
def test_an_attribute_that_cannot_be_read_stops_the_start(word, value):
    """A text where a tuple is meant would be read letter by letter, and say nothing."""
    assert f"{word} = " in refusal(make(**{word: value}))


def test_a_problem_code_begins_with_the_plugins_name():
    """So that two plugins cannot meet in one code."""
    check_class(make(problems=(Kind("sample.full", 429, "Full"),)))
    line = refusal(make(problems=(Kind("other.full", 429, "Full"),)))
    assert "must begin" in line
    assert line.endswith("write sample.full")


# -- what a constructor makes of it ---------------------------------------------------------------


@pytest.mark.parametrize("word", sorted(FORMS))
def test_a_phase_hung_on_the_instance_stops_the_start(tmp_path, word):
    """The class says who stands where, and whether that may be observed."""

    def begin(self, config, host):
        setattr(self, word, partial(acts, None))

    with pytest.raises(ConfigError, match=f"its constructor sets self.{word}.*define it in the"):
        Harness(tmp_path).load(make(__init__=begin))


def test_a_misspelt_phase_hung_on_the_instance_stops_the_start(tmp_path):
    """What the instance carries besides is its own affair."""

    def begin(self, config, host):
        self.count, self.now, self.limited = 1, host.now, True
        self.identfy = partial(acts, None)

    with pytest.raises(ConfigError, match=r"self\.identfy.*did you mean 'identify'"):
        Harness(tmp_path).load(make(__init__=begin))


def test_a_plugin_that_answers_to_every_name_stops_the_start(tmp_path):
    """It would run in every phase, and nowhere in the source."""
    cls = make(__getattr__=lambda self, word: acts)
    check_class(cls)

    with pytest.raises(ConfigError, match="__getattr__"):
        Harness(tmp_path).load(cls)


@pytest.mark.parametrize(
    ("word", "value"),
    [("credential_header", 5), ("issuers", "https://i"), ("verifies_proxy", "no"), ("vital", None)],
)
def test_an_attribute_set_wrongly_on_the_instance_stops_the_start(word, value):
    """As on the class."""
    plugin = make()({}, None)
    setattr(plugin, word, value)

    with pytest.raises(ConfigError, match=re.escape(f"{word} = {value!r}")):
        check_made(type(plugin), plugin)


def test_the_name_stays_the_one_of_the_class():
    """The table of settings is found by it."""
    plugin = make()({}, None)
    plugin.name = "other"

    with pytest.raises(ConfigError, match="name"):
        check_made(type(plugin), plugin)


def test_what_gives_each_instance_something_else_is_looked_at_once_more(tmp_path):
    """A descriptor that shows the class one face and its instances another."""

    class Late:
        def __get__(self, plugin, owner):
            return partial(waits if plugin is not None and vars(plugin) else acts, plugin)

    def begin(self, config, host):
        self._made = True

    cls = make(limit=Late(), __init__=begin)
    check_class(cls)
    with pytest.raises(ConfigError, match="limit is async def"):
        Harness(tmp_path).load(cls)


def test_a_class_that_makes_something_else_stops_the_start(tmp_path):
    """What is made was never looked at."""
    other = make(limit=waits)
    cls = make(__new__=lambda cls, *given: object.__new__(other))

    with pytest.raises(ConfigError, match="its __new__ makes a Sample"):
        Harness(tmp_path).load(cls)
