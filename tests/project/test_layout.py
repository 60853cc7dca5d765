"""The shape of the tree: what may stand where, and how large it may grow."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ALLOWED = {
    "secureml", "plugins", "instance", "tests", "wsgi.py", "nginx.conf", "requirements.txt",
    "README.md", "LICENSE", "pyproject.toml", "docs", "deploy", "script", ".ci", ".gitignore",
    ".gitattributes", ".dockerignore", ".editorconfig", ".pre-commit-config.yaml",
}  # fmt: skip
SOURCES = sorted([*CHECKOUT.glob("secureml/**/*.py"), *CHECKOUT.glob("plugins/**/*.py")])
PLUGINS = sorted(path.parent for path in CHECKOUT.glob("plugins/*/plugin.py"))
THIN = {"plugin.py", "views.py", "cli.py", "card_section.py", "__init__.py"}
# Adapters live on the thin side as well: to a library of Flask's, each says why.
ADAPTERS = {
    "plugins/jwt/signatures.py",
    "plugins/jwt/issuer.py",
    # A table of settings too large to stand in the plugin's own file, and what is made of it.
    "plugins/gateway/settings.py",
    "plugins/gateway/gateways.py",
    "plugins/oauth2/settings.py",
    "plugins/oauth2/providers.py",
    "plugins/rate_limit/settings.py",
    "plugins/rate_limit/rule_config.py",
    # Flask-Limiter wants an app.
    "plugins/rate_limit/storage.py",
    "plugins/theft_guard/settings.py",
    "plugins/audit_log/settings.py",
    # The same of the authorization server, its parts put together, and its routes for browsers.
    "plugins/oauth2_server/settings.py",
    "plugins/oauth2_server/server.py",
    "plugins/oauth2_server/page_views.py",
}


def tracked() -> list[str]:
    """Return what git keeps, or skip where this is no checkout."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.splitlines() if (CHECKOUT / name).is_file()]


def test_the_top_level_holds_what_the_owner_named():
    """Nothing else, so that a newcomer reads it at a glance."""
    assert {name.split("/")[0] for name in tracked()} <= ALLOWED


def test_no_path_of_one_machine_stands_in_the_tree():
    """It would work for its writer alone."""
    machine = re.compile(r"(?<![\w.])/(?:root|work|home/[a-z]+)/")
    found = []
    for name in tracked():
        content = (CHECKOUT / name).read_bytes()
        if b"\0" not in content and name != "tests/project/test_layout.py":
            found += [name for line in content.decode().splitlines() if machine.search(line)]
    assert found == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_files_hold_one_thought_and_functions_fit_in_one_look(path):
    """300 lines a file, 40 a function without its docstring."""
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 300
    assert path.stem not in {"utils", "util", "helpers", "helper", "manager", "misc"}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert own_lines(node) <= 40, node.name


def own_lines(function: ast.FunctionDef) -> int:
    """Count a function's lines without its docstring and the functions inside it."""
    first = function.body[0]
    doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    inner = [node for node in function.body if isinstance(node, ast.FunctionDef)]
    start = [min([node.lineno, *(deco.lineno for deco in node.decorator_list)]) for node in inner]
    apart = sum(node.end_lineno - line + 1 for node, line in zip(inner, start, strict=True))
    spoken = first.end_lineno - first.lineno + 1 if doc else 0
    return function.end_lineno - function.lineno + 1 - spoken - apart


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_module_says_what_it_guarantees(path):
    """In its docstring; an empty __init__ has nothing to say."""
    text = path.read_text("utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_every_plugin_has_the_same_shape(folder):
    """Package, README, and tests that mirror it."""
    tests = CHECKOUT / "tests" / "plugins" / folder.name
    assert (folder / "README.md").exists()
    package = (folder / "__init__.py").read_text()
    assert re.search(r"^from \.plugin import \w+ as plugin$", package, re.MULTILINE)
    for source in folder.rglob("*.py"):
        if source.name != "__init__.py":
            mirrored = tests / source.parent.relative_to(folder)
            assert list(mirrored.glob(f"test_{source.stem}*.py")), source.name


# Modules of the kit that hand on parts of the core; the others are free of it.
HAND_ON = frozenset(
    f"secureml.kit.{topic}"
    for topic in (
        "cards", "description", "fields", "model_signature", "output", "prediction", "scopes",
        "secrets", "signing", "validation",
    )
)  # fmt: skip
# Scopes and durations are read as the settings read them.
READ_SETTINGS = {"command_types.py"}


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_the_logic_of_a_plugin_knows_neither_flask_nor_the_application(folder):
    """It can be read, tested and reused without either; what is in the kit knows neither too."""
    for source in folder.rglob("*.py"):
        if source.name in THIN or str(source.relative_to(CHECKOUT)) in ADAPTERS:
            continue
        for name in imported(source):
            assert is_free_kit(name) or not is_ours_or_flask(name), f"{source}: {name}"


def test_the_shared_parts_of_the_kit_know_neither_flask_nor_the_application():
    for source in (CHECKOUT / "secureml" / "kit").glob("*.py"):
        if f"secureml.kit.{source.stem}" in HAND_ON:
            continue
        for name in imported(source):
            if source.name in READ_SETTINGS and name == "secureml.state.fields":
                continue
            assert is_free_kit(name) or not is_ours_or_flask(name), f"{source}: {name}"


def test_what_hands_on_the_core_is_there_and_says_what_it_hands_on():
    for module in HAND_ON:
        source = CHECKOUT / f"{module.replace('.', '/')}.py"
        assert "\n__all__ = [" in source.read_text("utf-8")


def is_free_kit(name):
    """Tell whether a name is of a module of the kit that knows no core."""
    return name.startswith("secureml.kit.") and name not in HAND_ON


def is_ours_or_flask(name):
    return name.split(".")[0] in {"flask", "secureml", "plugins"}


def imported(source):
    """Return what a file imports by its whole name: modules, and of a package its modules."""
    found = []
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            package = CHECKOUT / (node.module or "").replace(".", "/")
            inner = [each.name for each in node.names if (package / f"{each.name}.py").exists()]
            found += [f"{node.module}.{each}" for each in inner]
            if len(inner) < len(node.names):
                found.append(node.module or "")
    return found


def test_pickles_are_read_in_one_file_only():
    """The one with the list of what a model file may name.

    The other walks through the stream for its names, with nothing behind any of them.
    """
    readers = [
        path.name
        for path in SOURCES
        if re.search(
            r"^\s*import pickle|joblib\.load\(|^from pickle", path.read_text(), re.MULTILINE
        )
    ]
    assert readers == ["reader.py", "requested_names.py"]
