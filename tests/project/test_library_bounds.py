"""The internals of libraries that we use are there, and only tried releases are allowed."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from library_overrides import INTERNALS, Internal, digest, source_of
from packaging.requirements import Requirement
from packaging.version import Version

CHECKOUT = Path(__file__).resolve().parents[2]
HELD = sorted({internal.library for internal in INTERNALS})
# Methods that the library's documentation tells its users to define, by the class they are for.
EXTENSION_POINTS = {
    "authlib.common.errors.AuthlibBaseError": {"error"},
    "authlib.oauth2.rfc6749.authorization_server.AuthorizationServer": {
        "authenticate_client", "create_oauth2_request", "handle_error_response",
        "handle_response", "query_client", "send_signal",
    },
    "authlib.oauth2.rfc6749.grants.authorization_code.AuthorizationCodeGrant": {
        "authenticate_user", "create_authorization_response", "delete_authorization_code",
        "query_authorization_code",
    },
    "authlib.oauth2.rfc6749.grants.base.AuthorizationEndpointMixin": {
        "validate_authorization_redirect_uri",
    },
    "authlib.oauth2.rfc6749.grants.base.BaseGrant": {"generate_token"},
    "authlib.oauth2.rfc6749.grants.refresh_token.RefreshTokenGrant": {
        "authenticate_user", "issue_token", "revoke_old_credential",
    },
    "authlib.oauth2.rfc6749.requests.OAuth2Request": {"args", "form"},
    "authlib.oauth2.rfc6749.token_endpoint.TokenEndpoint": {"authenticate_endpoint_client"},
    "authlib.oauth2.rfc7009.revocation.RevocationEndpoint": {
        "check_params", "query_token", "revoke_token",
    },
    "authlib.oauth2.rfc7636.challenge.CodeChallenge": {
        "get_authorization_code_challenge", "get_authorization_code_challenge_method",
        "validate_code_challenge",
    },
    "authlib.oauth2.rfc7662.introspection.IntrospectionEndpoint": {
        "check_params", "check_permission", "introspect_token", "query_token",
    },
    "authlib.oauth2.rfc8628.device_code.DeviceCodeGrant": {
        "query_device_credential", "validate_device_credential",
    },
    "pythonjsonlogger.json.JsonFormatter": {"jsonify_log_record"},
    "limits.storage.base.MovingWindowSupport": {"acquire_entry", "get_moving_window"},
    "limits.storage.base.SlidingWindowCounterSupport": {
        "acquire_sliding_window_entry", "clear_sliding_window", "get_sliding_window",
    },
    "limits.storage.base.Storage": {
        "base_exceptions", "check", "clear", "get", "get_expiry", "incr", "reset",
    },
}  # fmt: skip


@functools.cache
def allowed() -> dict[str, Requirement]:
    """Return what pyproject.toml allows of each library."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    found = [
        Requirement(line)
        for line in project["dependencies"] + project["optional-dependencies"]["provenance"]
    ]
    return {each.name: each for each in found}


@functools.cache
def pinned() -> dict[str, list[Version]]:
    """Return the releases that are pinned; some libraries have one for each Python."""
    files = ("requirements.txt", "deploy/extras/provenance.txt")
    text = "".join((CHECKOUT / file).read_text("utf-8") for file in files)
    found: dict[str, list[Version]] = {}
    for name, release in re.findall(r"^([a-z0-9.-]+)==([^ \\]+)", text, re.MULTILINE):
        found.setdefault(name, []).append(Version(release))
    return found


def sentence(internal: Internal, what: str) -> str:
    """Return what a reader is told: what changed, whose it is, and what would break."""
    release = version(internal.library)
    return (
        f"{internal.library} {release}: {what}; {internal.ours}: {internal.breaks}; "
        f"fix: read the new source, let ours follow, then change the row in library_overrides.py"
    )


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.what)
def test_what_we_use_is_there_and_called_as_it_was(internal: Internal) -> None:
    """By these arguments and from these places."""
    try:
        value = internal.value
    except (AttributeError, ModuleNotFoundError):
        pytest.fail(sentence(internal, f"{internal.what} is gone"))
    if internal.parameters:
        now = " ".join(inspect.signature(value).parameters)
        assert now == internal.parameters, sentence(
            internal, f"{internal.what} is called with ({now})"
        )
    for function, statement in internal.statements:
        assert statement in source_of(function), sentence(
            internal, f"`{statement}` is not in {function}"
        )


REPLACED = [internal for internal in INTERNALS if internal.digest]


@pytest.mark.parametrize("internal", REPLACED, ids=lambda internal: internal.what)
def test_what_ours_replaces_has_not_changed(internal: Internal) -> None:
    """What is not called cannot fail: a repair of the library's would be missed without a word."""
    now = digest(internal.what)
    assert now == internal.digest, sentence(internal, f"the source of {internal.what} is now {now}")


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.what)
def test_each_row_names_a_file_of_ours_that_knows_the_library(internal: Internal) -> None:
    ours = CHECKOUT / internal.ours
    files = [ours] if ours.suffix else sorted(ours.glob("*.py"))
    name = internal.what.rpartition(":")[2].rpartition(".")[2]
    known = internal.what.partition(".")[0].partition(":")[0]
    assert any(known in text or name in text for text in (f.read_text("utf-8") for f in files))


@pytest.mark.parametrize("library", HELD)
def test_only_the_minor_release_that_was_tried_is_allowed(library: str) -> None:
    """The one in requirements.txt; another one is tried by moving both and running the suite."""
    specifier = allowed()[library].specifier
    for tried in pinned()[library]:
        major, minor = tried.release[:2]
        assert tried in specifier
        before = f"{major}.{minor - 1}.9999" if minor else f"{major - 1}.9999"
        for other in (before, f"{major}.{minor + 1}", f"{major + 1}.0"):
            assert other not in specifier, f"{library} {other} was never tried: {specifier}"


@pytest.mark.parametrize("library", sorted(allowed()))
def test_what_is_installed_by_requirements_txt_is_allowed(library: str) -> None:
    assert pinned()[library], library
    assert all(release in allowed()[library].specifier for release in pinned()[library])


# -- that no row is missing --------------------------------------------------------------------

SOURCES = sorted([*CHECKOUT.glob("secureml/**/*.py"), *CHECKOUT.glob("plugins/**/*.py")])


@functools.cache
def libraries() -> dict[str, str]:
    """Return the top modules of the held libraries, each with its library."""
    return {
        module: name.lower().replace("_", "-")
        for module, names in packages_distributions().items()
        for name in names
        if name.lower().replace("_", "-") in HELD
    }


def library_of(module: str) -> str:
    """Return the library that a module belongs to, "" for none of the held ones."""
    return libraries().get(module.partition(".")[0], "")


def modules() -> Iterator[object]:
    """Import all there is of ours."""
    for package in ("secureml", "plugins"):
        path = importlib.import_module(package).__path__
        for found in pkgutil.walk_packages(path, f"{package}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


@functools.cache
def own_classes() -> list[type]:
    """Return the classes of ours, in the order of their names."""
    return sorted(
        {
            each
            for module in modules()
            for each in vars(module).values()
            if inspect.isclass(each) and each.__module__ == module.__name__
        },
        key=lambda each: (each.__module__, each.__qualname__),
    )


def overridden(ours: type) -> Iterator[tuple[type, str]]:
    """Yield what a class of ours defines anew, with the class of the library it is nearest to."""
    for name, value in vars(ours).items():
        if name.startswith("__") or name.isupper() or name == "_abc_impl":
            continue  # constants such as GRANT_TYPE are values, which a new release cannot miss
        for base in ours.__mro__[1:]:
            if name in vars(base):
                if library_of(base.__module__) and value is not vars(base)[name]:
                    yield base, name
                break


def test_each_method_of_a_library_that_we_define_anew_is_in_the_table_or_documented() -> None:
    rows = [internal.value for internal in INTERNALS]
    missing = [
        f"{ours.__module__}.{ours.__qualname__}.{name} replaces {base.__qualname__}.{name}"
        for ours in own_classes()
        for base, name in overridden(ours)
        if name not in EXTENSION_POINTS.get(f"{base.__module__}.{base.__qualname__}", ())
        and vars(base)[name] not in rows
    ]
    assert missing == []


def test_every_extension_point_that_is_listed_is_used() -> None:
    """A list that only grows hides what it was for."""
    used = {
        (f"{base.__module__}.{base.__qualname__}", name)
        for ours in own_classes()
        for base, name in overridden(ours)
    }
    listed = {(kind, name) for kind, names in EXTENSION_POINTS.items() for name in names}
    assert listed - used == set()


def borrowed(path: Path) -> Iterator[tuple[int, str]]:
    """Yield what a file imports from the underscored parts of a held library."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.level or not library_of(node.module or ""):
            continue
        for alias in node.names:
            full = f"{node.module}:{alias.name}"
            if re.search(r"[.:]_", full):
                yield node.lineno, full


def assigned(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the attributes of a held library's modules that a file puts something of ours into."""
    tree = ast.parse(path.read_text("utf-8"))
    imported = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if library_of(alias.name)
    }
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Attribute):
                module, _, name = ast.unparse(target).rpartition(".")
                if module.partition(".")[0] in imported:
                    yield node.lineno, f"{module}:{name}"


@pytest.mark.parametrize("find", [borrowed, assigned])
def test_what_is_imported_from_or_put_into_the_internals_is_in_the_table(find) -> None:
    rows = {internal.what for internal in INTERNALS}
    missing = [
        f"{path.relative_to(CHECKOUT)}:{line}: {what}"
        for path in SOURCES
        for line, what in find(path)
        if what not in rows
    ]
    assert missing == []


# -- that the checks can fail ------------------------------------------------------------------


def test_a_method_that_is_gone_or_called_otherwise_is_told_with_what_breaks() -> None:
    gone = Internal(
        "flask", "flask.app:Flask.answer_by_magic", "secureml/flask_app.py", "all is lost"
    )
    with pytest.raises(pytest.fail.Exception, match=r"answer_by_magic is gone; .*all is lost"):
        test_what_we_use_is_there_and_called_as_it_was(gone)
    other = Internal(
        "flask", "flask.app:Flask.wsgi_app", "x", "all is lost", parameters="self scope"
    )
    with pytest.raises(AssertionError, match=r"called with \(self environ start_response\).*lost"):
        test_what_we_use_is_there_and_called_as_it_was(other)
    moved = Internal("flask", "flask.app:Flask.wsgi_app", "x", "all is lost",
                   statements=(("flask.app:Flask.__call__", "return await"),))  # fmt: skip
    with pytest.raises(AssertionError, match="`return await` is not in"):
        test_what_we_use_is_there_and_called_as_it_was(moved)
    changed = Internal("flask", "flask.app:Flask.wsgi_app", "x", "all is lost", digest="0")
    with pytest.raises(AssertionError, match=r"the source of flask\.app:Flask\.wsgi_app is now"):
        test_what_ours_replaces_has_not_changed(changed)


def test_an_override_that_no_row_names_is_found(tmp_path: Path) -> None:
    import flask

    made = type("Mine", (flask.Flask,), {"full_dispatch_request": lambda self: None})
    assert list(overridden(made)) == [(flask.Flask, "full_dispatch_request")]
    file = tmp_path / "mine.py"
    file.write_text(
        "import gunicorn.util\nfrom sklearn.tree._tree import Tree\nfrom flask import Flask\n"
        "gunicorn.util.close = print\n",
        "utf-8",
    )
    assert list(borrowed(file)) == [(2, "sklearn.tree._tree:Tree")]
    assert list(assigned(file)) == [(4, "gunicorn.util:close")]
