"""Whatever an author's code raises at the start is one line: who, where, what, and the way out."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from marshmallow import Schema

from secureml import ConfigError, Plugin
from secureml.pipeline import loader
from secureml.pipeline.plugin_errors import call_extra, import_fault, raised
from secureml.testing import Harness

HEAD = "from secureml import Plugin\n"
CLASS = "class Acme(Plugin):\n    name = 'acme'\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module where Python finds it."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write(text, name="acme_module"):
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        names.append(name.replace("/", "."))
        return file

    yield write
    for name in [*names, *(each.partition(".")[0] for each in names)]:
        sys.modules.pop(name, None)


def line_of(call, *given):
    """Return the one line with which something stops the start."""
    with pytest.raises(ConfigError) as refused:
        call(*given)
    line = str(refused.value)
    assert "\n" not in line
    assert "Traceback" not in line
    assert "; fix: " in line
    return line


IMPORTS = {
    "a syntax error": (
        "x = 1\nclass Acme(Plugin:\n",
        ":2)",
        "it is not valid Python: ",
        "correct that line",
    ),
    "a tab": ("if True:\n\tx = 1\n        y = 2\n", ":3)", "not valid Python", "correct"),
    "text without parentheses": (
        "from marshmallow import Schema, fields\nclass T(Schema):\n    a = fields.String\n",
        ":2)",
        'Did you mean "fields.String()"?',
        "correct it there",
    ),
    "a field of marshmallow's": (
        "from secureml.kit import fields\nx = 1\nname = fields.String()\n",
        ":3)",
        "has no attribute 'String'",
        "from marshmallow import fields as plain, and plain.String(...)",
    ),
    "a misspelt field": (
        "from secureml.kit import fields\nport = fields.StrictIntegr()\n",
        ":2)",
        "'StrictIntegr'",
        "did you mean 'StrictInteger'?",
    ),
    "a misspelt class": (
        "from secureml import Principle\n",
        ":1)",
        "cannot import name 'Principle' from 'secureml'",
        "did you mean 'Principal'?",
    ),
    "a name of a topic": (
        "from secureml import Host, CardSection\n",
        ":1)",
        "cannot import name 'CardSection' from 'secureml'",
        "write from secureml.kit.cards import CardSection",
    ),
    "a topic": (
        "from secureml import fields\n",
        ":1)",
        "cannot import name 'fields' from 'secureml'",
        "write from secureml.kit import fields",
    ),
    "a name of a topic, of the kit": (
        "import secureml.kit\nintersect = secureml.kit.intersect\n",
        ":2)",
        "has no attribute 'intersect'",
        "write from secureml.kit.scopes import intersect",
    ),
    "a room behind the public API": (
        "import secureml.nowhere\n",
        ":1)",
        "it needs the module 'secureml.nowhere'",
        "from secureml import Plugin",
    ),
    "a library": (
        "x = 1\n\nimport library_not_there.deep\n",
        ":3)",
        "it needs the module 'library_not_there'",
        "install the library 'library_not_there'",
    ),
    "a file": (
        "open('/nowhere/at/all')\n",
        ":1)",
        "FileNotFoundError",
        "use /nowhere/at/all, or name another place",
    ),
    "an end": ("import sys\nsys.exit(3)\n", ":2)", "it raised SystemExit: 3", "correct it there"),
    "a fault": ("x = {}\n\nx['a']\n", ":3)", "it raised KeyError: 'a'", "correct it there"),
    "a name": ("x = 1\nPlugim\n", ":2)", "NameError: name 'Plugim' is not defined", "correct it"),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_a_module_that_cannot_be_imported_is_told_with_its_line(module, case):
    text, place, what, fix = IMPORTS[case]
    file = module(text)
    line = line_of(loader.find, ["acme_module:Acme"])
    assert line.startswith("[secureml] plugins: the plugin 'acme_module:Acme' cannot be imported: ")
    assert f"({file}{place}" in line
    assert what in line
    assert fix in line.partition("; fix: ")[2]


def test_the_place_is_the_plugins_own_however_deep_it_was_raised(module):
    """A library's line would send its author to the wrong file."""
    file = module("import json\nx = 1\njson.loads('{')\n")
    assert f"({file}:3)" in line_of(loader.find, ["acme_module:Acme"])


def test_in_a_package_it_is_the_file_of_the_package(module):
    module("", "acme/__init__")
    inner = module("x = 1\nundefined\n", "acme/inner")
    module("from acme import inner\n", "acme/outer")
    assert f"({inner}:2)" in line_of(loader.find, ["acme.outer:Acme"])


def test_a_package_that_is_not_whole_needs_no_library(module):
    module("", "acme/__init__")
    module("import acme.missing\n", "acme/outer")
    assert "check the spelling of 'acme.missing'" in line_of(loader.find, ["acme.outer:Acme"])


@pytest.mark.parametrize("entry", ["acme_nowhere:Acme", "acme_nowhere.deep:Acme"])
def test_a_module_that_python_does_not_find_is_told_how_it_would(entry):
    """Commands and units are asked by another user, from another folder."""
    line = line_of(loader.find, [entry])
    assert "Python finds no module 'acme_nowhere'" in line
    assert "PYTHONPATH=/path/to/folder before this command" in line
    assert "Environment=PYTHONPATH=/path/to/folder in the systemd unit" in line


@pytest.mark.parametrize(
    ("entry", "says"),
    [("scope", "'scopes'"), ("apikeys", "'api_keys'"), ("ratelimit", "'rate_limit'")],
)
def test_a_misspelt_plugin_of_ours_gets_a_suggestion(entry, says):
    line = line_of(loader.find, [entry])
    assert "there is no such plugin" in line
    assert f"did you mean {says}?" in line


def test_a_misspelt_class_in_a_module_gets_a_suggestion(module):
    file = module(HEAD + CLASS)
    line = line_of(loader.find, ["acme_module:Acne"])
    assert f"acme_module has no 'Acne' ({file})" in line
    assert "did you mean acme_module:Acme?" in line
    assert "check the spelling" in line_of(loader.find, ["acme_module:Xyzzy"])


@pytest.mark.parametrize("entry", [":Acme", ".acme:Acme", "acme..x:Acme"])
def test_an_entry_that_python_cannot_read_is_one_line(entry):
    line_of(loader.find, [entry])


# -- constructors ---------------------------------------------------------------------------------


def made(tmp_path, body, **words):
    """Build a plugin whose constructor has this body."""

    class Acme(Plugin):
        name = "acme"

        def __init__(self, config, host):
            body()

    for word, value in words.items():
        setattr(Acme, word, value)
    return Harness(tmp_path).load(Acme)


def fails(error):
    """Return a function that raises."""

    def fail():
        raise error

    return fail


@pytest.mark.parametrize(
    ("body", "what", "fix"),
    [
        (
            Path("/nowhere/keys").read_bytes,
            "FileNotFoundError",
            "use /nowhere/keys, or name another",
        ),
        (fails(OSError("full")), "raised OSError: full", "correct it there"),
        (fails(SystemExit(3)), "raised SystemExit: 3", "raise ConfigError there"),
        (fails(KeyError("x\ny")), "raised KeyError", "correct it there"),
        (fails(ValueError()), "raised ValueError (", "correct it there"),
    ],
)
def test_a_constructor_that_raises_is_told_with_its_line(tmp_path, body, what, fix):
    line = line_of(made, tmp_path, body)
    assert line.startswith("[plugins.acme]: Acme.__init__ raised ")
    assert what in line
    assert fix in line
    assert f"({__file__}:" in line


def test_a_fault_that_a_constructor_explains_is_told_in_its_words(tmp_path):
    line = line_of(made, tmp_path, fails(ConfigError("no", key="size", fix="yes")))
    assert line == "[plugins.acme] size: no; fix: yes"


def test_a_schema_that_fails_is_told_as_the_schemas(tmp_path):
    """A check of its author's, or a field that cannot be."""

    class Table(Schema):
        def __init__(self, **words):
            super().__init__(**words)
            raise RuntimeError("broken")

    line = line_of(lambda: made(tmp_path, dict, schema=Table))
    assert "its schema Table raised RuntimeError: broken" in line
    assert __file__ in line


# -- extras that are asked at the start -----------------------------------------------------------


def test_an_extra_that_raises_at_the_start_is_one_line():
    class Acme(Plugin):
        name = "acme"

        def check_routes(self, routes):
            raise LookupError("nothing there")

        def blueprint(self):
            raise ConfigError("no", fix="yes")

    plugin = Acme({}, None)
    line = line_of(call_extra, plugin, "check_routes", frozenset())
    assert line.startswith("[plugins.acme]: Acme.check_routes raised LookupError: nothing there (")
    assert line_of(call_extra, plugin, "blueprint") == "[plugins.acme]: no; fix: yes"


def test_a_signal_that_comes_meanwhile_is_nobodys_fault():
    """Ctrl-C at a slow start ends it."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for tell in (
        lambda: import_fault("acme:Acme", KeyboardInterrupt()),
        lambda: raised("acme", "it", Plugin, KeyboardInterrupt()),
    ):
        with pytest.raises(KeyboardInterrupt):
            tell()
