"""The core names no plugin: what it must know of one, the plugin declares.

Searched for are the names of the packages in plugins/, as words with ``_`` or ``-`` in code,
comments and texts. A name that is an English word or a term of the field as well counts where it
can only be the plugin: as a whole text, in quotes inside one, or behind ``plugins``; `scopes`, the
rights of a client or token (RFC 6749, 3.3), behind ``plugins`` alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from secureml.pipeline import builtin_plugins

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = sorted((CHECKOUT / "secureml").rglob("*.py"))
NAMES = builtin_plugins.names()
SHORT = [name for name in NAMES if "_" not in name]
QUOTED_SHORT = [name for name in SHORT if name != "scopes"]
# Where a name may be, and why.
ALLOWED = {
    "secureml/pipeline/builtin_plugins.py": (
        set(builtin_plugins.DEFAULT) - {"scopes"},
        "the list of plugins that `secureml init` enables",
    ),
    "secureml/cli/init.py": (
        {"transport", "audit_log", "rate_limit"},
        "the tables of the settings that `secureml init` writes",
    ),
    "secureml/models/assessment/recommendation.py": (
        {"output_rules", "rate_limit", "theft_guard"},
        "the tables of the settings that an assessment recommends",
    ),
    "secureml/production.py": (
        {*builtin_plugins.DEFAULT, "brute_force"} - {"api_keys", "scopes"},
        "names of concerns, which any plugin may take care of (`Plugin.concern`)",
    ),
    "secureml/cli/nginx_files.py": (
        {"access_log", "client_certificates"},
        "a directive of Nginx, and a file of deploy/nginx",
    ),
}


def forms(names: list[str]) -> str:
    """Return the names as a pattern, as in settings and as commands have them."""
    return "|".join({form for name in names for form in (name, name.replace("_", "-"))})


LONG = re.compile(
    rf"(?<![A-Za-z0-9_])({forms([name for name in NAMES if '_' in name])})(?![A-Za-z0-9_])"
)
QUOTED = re.compile(rf"['\"`]({forms(QUOTED_SHORT)})['\"`]|\bplugins[./]({forms(SHORT)})\b")


def named(text: str) -> set[str]:
    """Return the plugins that a source names."""
    found = set(LONG.findall(text))
    for constant in texts(text):
        found |= {constant} & set(QUOTED_SHORT)
        found |= {name for pair in QUOTED.findall(constant) for name in pair if name}
    return {name.replace("-", "_") for name in found}


def texts(source: str) -> Iterator[str]:
    """Yield every text in a source, docstrings too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_the_core_names_no_plugin(path: Path) -> None:
    allowed, _ = ALLOWED.get(str(path.relative_to(CHECKOUT)), (set(), ""))
    assert named(path.read_text("utf-8")) - allowed == set()


@pytest.mark.parametrize("name", ALLOWED)
def test_an_exception_that_is_no_longer_needed_is_removed(name: str) -> None:
    allowed, _ = ALLOWED[name]
    assert allowed - named((CHECKOUT / name).read_text("utf-8")) == set()


@pytest.mark.parametrize(
    "source",
    [
        'table = "transport"',
        'fix = "enable `anonymous` to run open"',
        "fix = \"add 'metrics'\"",
        'table = "plugins.jwt"',
        "x = f'[plugins.transport] hosts'",
        "# as audit_log does",
        'words = ["api-keys", "issue"]',
        "def f():\n    '''What ``errors`` renders.'''",
        "if name == 'model_integrity': pass",
    ],
)
def test_each_form_of_a_name_is_found(source: str) -> None:
    assert named(source)


@pytest.mark.parametrize(
    "source",
    [
        "scopes = client.scopes",
        'what = "scopes and models of a client"',
        "from sklearn import metrics",
        "errors = error.messages",
        'column = "scopes"',
        "def _client_certificates(): pass",
        'code = "rate_limited"',
    ],
)
def test_a_word_of_english_or_of_the_field_is_no_plugin(source: str) -> None:
    assert named(source) == set()
