"""What the app offers, as data: its routes with their demands, its refusals, its credentials.

For whoever describes the app to others. All of it is read from the app that serves, so a
description made of it cannot be about another one.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.routing import Rule

from secureml.pipeline.policy import EXTENSION, Policy, policy_of
from secureml.pipeline.problems import Kind

if TYPE_CHECKING:
    from secureml.pipeline.pipeline import Pipeline

_ARGUMENT = re.compile(r"<(?:[^<>:]+:)?(\w+)>")


@dataclass(frozen=True, slots=True)
class Route:
    """One address: ``path`` names its arguments in braces, ``summary`` is the view's own words.

    ``methods`` leaves out HEAD, which is GET without its body.
    """

    path: str
    methods: tuple[str, ...]
    endpoint: str
    arguments: tuple[str, ...]
    policy: Policy
    summary: str


@dataclass(frozen=True, slots=True)
class AppDescription:
    """Everything a client may build on.

    ``credential_headers`` are those that credentials travel in; ``open_to_all`` tells that
    somebody without any is named as well, ``identifies_by_connection`` that a client certificate
    names its holder.
    """

    routes: tuple[Route, ...]
    problems: tuple[Kind, ...]
    credential_headers: tuple[str, ...]
    open_to_all: bool
    identifies_by_connection: bool = False


def describe_app(app: Flask) -> AppDescription:
    """Return what an app offers; raises KeyError for one without a pipeline."""
    pipeline: Pipeline = app.extensions[EXTENSION]
    rules = sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
    plugins = [loaded.plugin for loaded in pipeline.plugins]
    # Who has a certificate is not everybody: the connection is a credential too.
    naming = [
        each for each in plugins if hasattr(each, "identify") and not each.identifies_by_connection
    ]
    credential_headers = [plugin.credential_header for plugin in naming]
    return AppDescription(
        tuple(_route(app, rule) for rule in rules),
        tuple(pipeline.catalogue),
        tuple(dict.fromkeys(filter(None, credential_headers))),
        None in credential_headers,
        any(plugin.identifies_by_connection for plugin in plugins),
    )


def _route(app: Flask, rule: Rule) -> Route:
    view: Any = app.view_functions[rule.endpoint]
    policy = policy_of(view)
    if policy is None:
        raise RuntimeError(f"{rule.rule} carries no policy")
    return Route(
        _ARGUMENT.sub(r"{\1}", rule.rule),
        tuple(sorted((rule.methods or set()) - {"HEAD"})),
        rule.endpoint,
        tuple(sorted(rule.arguments)),
        policy,
        (inspect.getdoc(view) or "").partition("\n")[0].rstrip("."),
    )
