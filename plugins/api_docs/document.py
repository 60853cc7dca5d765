"""The OpenAPI 3.1 document: routes, credentials, refusals, and a path for each model.

Pure: what is described is handed in. The same app gives the same document, word for word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import model_shapes
from .refusals import Kind, name_of, problem_shape, responses, statuses
from .shapes import answer_shape, request_shape

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
# The core's routes that are about one model, and the argument that names it.
_MODEL = "{model}"
# Of what stands in a path, by its name there.
_SHAPES = {
    "model": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"},
    "version": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
}
Card = Mapping[str, Any]
# Where an answer of one route names what another asks for.
_FIRST_MODEL = {"model": "$response.body#/models/0/name"}
# Not to `predict`: a body that fits any model fits none, and each has a path of its own.
# How a certificate of the client's is called where others name their header: no header is.
MUTUAL_TLS = "mutualTLS"
_LINKS = {"models": ("model",)}


@dataclass(frozen=True, slots=True)
class Described:
    """What is to be described, and to whom; the first fields are those of the outline of an app.

    ``permits`` tells whether the reader's rights allow a scope, on this version of a model
    where one is named.
    """

    routes: Sequence[Any]
    problems: tuple[Kind, ...]
    credential_headers: Sequence[str]
    open_to_all: bool
    permits: Callable[[str, str, str], bool]

    def shows(self, route: Any, model: str = "", version: str = "") -> bool:
        """Tell whether a route is the reader's to know, for any model or for this one."""
        scope: str | None = route.policy.scope
        return scope is None or self.permits(scope, model, version)


def document(title: str, found: Described, cards: Sequence[Card]) -> dict[str, Any]:
    """Return the whole document; ``cards`` are what the cards of the visible models say."""
    paths: dict[str, Any] = {}
    for route, method, name in _named(found.routes):
        if found.shows(route):
            paths.setdefault(route.path, {})[method] = _operation(route, found, name)
        for card in cards if _MODEL in route.path else ():
            if not found.shows(route, card["name"], card["version"]):
                continue
            path = route.path.replace(_MODEL, card["name"])
            paths.setdefault(path, {})[method] = _of_model(route, found, name, card)
    _link(paths)
    return {
        "openapi": "3.1.0",
        # Of the API, not of the software: a version of that would help an attacker alone.
        "info": {"title": title, "version": "1"},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": problem_shape()},
            "responses": responses(found.problems),
            "securitySchemes": {name: _scheme(name) for name in found.credential_headers},
        },
    }


def _named(routes: Sequence[Any]) -> Iterator[tuple[Any, str, str]]:
    """Yield each route by each method, with a name that no other has."""
    taken: set[str] = set()
    for route in routes:
        plain = route.endpoint.removeprefix("api.").replace(".", "_")
        for method in map(str.lower, route.methods):
            name = plain if plain not in taken else f"{plain}_{method}"
            while name in taken:  # one view at several addresses
                name += "_again"
            taken.add(name)
            yield route, method, name


def _operation(route: Any, found: Described, name: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": route.summary,
        "security": _security(route, found),
        "responses": _responses(route, found),
    }
    if route.arguments:
        operation["parameters"] = [_parameter(name) for name in route.arguments]
    if route.policy.body is not None:
        operation["requestBody"] = _body(request_shape(route.policy.body))
    elif route.policy.form:
        # What fields a form has is said by the protocol it belongs to.
        operation["requestBody"] = {"content": {FORM: {"schema": {"type": "object"}}}}
    return operation


def _of_model(route: Any, found: Described, name: str, card: Card) -> dict[str, Any]:
    operation = _operation(route, found, name)
    operation["operationId"] += f"_{card['name']}"
    operation["summary"] += f": {card['name']}"
    rest = [one for one in operation.pop("parameters") if one["name"] != "model"]
    if rest:
        operation["parameters"] = rest
    answer = route.policy.answer
    if route.policy.body is not None and "instances" in route.policy.body().fields:
        operation["requestBody"] = _body(model_shapes.question(card))
        if answer is not None and "predictions" in answer().fields:
            shape = model_shapes.answer(card, answer_shape(answer))
            operation["responses"]["200"]["content"] = {JSON: {"schema": shape}}
    return operation


def _link(paths: Mapping[str, Any]) -> None:
    """Tell how the list of models leads to each of them."""
    operations = {one["operationId"]: one for path in paths.values() for one in path.values()}
    for name, targets in _LINKS.items():
        links = {
            target: {"operationId": target, "parameters": _FIRST_MODEL}
            for target in targets
            if target in operations
        }
        if name in operations and links:
            operations[name]["responses"]["200"]["links"] = links


def _body(shape: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {JSON: {"schema": shape}}}


def _parameter(name: str) -> dict[str, Any]:
    shape = _SHAPES.get(name, {"type": "string", "minLength": 1})
    return {"name": name, "in": "path", "required": True, "schema": shape}


def _responses(route: Any, found: Described) -> dict[str, Any]:
    policy = route.policy
    refused = statuses(
        found.problems,
        guarded=not policy.public,
        takes_body=policy.body is not None or policy.form,
        has_arguments=bool(route.arguments),
    )
    answers = {str(status): _answer(policy, found, status) for status in policy.answered_at}
    refusals: dict[str, Any] = {
        str(status): {"$ref": f"#/components/responses/{name_of(status)}"} for status in refused
    }
    if policy.wording is not None:
        # Such a route words its refusals as its protocol does, and Nginx's are worded as ours.
        refusals = {status: {"description": "Refused"} for status in refusals}
    return {**refusals, **answers}


def _answer(policy: Any, found: Described, status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "The answer"}
    if policy.answer is not None:
        answer["content"] = {JSON: {"schema": answer_shape(policy.answer)}}
    refusal = responses(found.problems).get(name_of(status))
    if refusal is None:
        return answer
    # A status at which the view answers and the phases refuse: the media type tells which.
    return {**refusal, "content": {**answer.get("content", {}), **refusal["content"]}}


def _security(route: Any, found: Described) -> list[dict[str, list[str]]]:
    if route.policy.public:
        return []
    ways = [{name: [route.policy.scope]} for name in found.credential_headers]
    return [*ways, {}] if found.open_to_all else ways


def _scheme(header: str) -> dict[str, str]:
    if header == MUTUAL_TLS:
        return {"type": "mutualTLS"}
    if header.lower() == "authorization":
        return {"type": "http", "scheme": "bearer"}
    return {"type": "apiKey", "in": "header", "name": header}
