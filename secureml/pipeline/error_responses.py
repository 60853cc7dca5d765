"""From a refusal to the response that carries it, whatever else has failed by then.

The wording is that of the plugin that has `render`, else the bare one: removing a plugin
may make us terse, never talkative.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from flask import Response

from secureml.pipeline.call_analysis import let_go
from secureml.pipeline.exchange import Exchange, Refusal
from secureml.pipeline.exit_signals import contained
from secureml.pipeline.json_response import JsonResponse
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.problems import MEDIA_TYPE, Catalogue, Kind, Problem, bare_body

log = logging.getLogger("secureml.pipeline")


class ErrorResponses:
    """Words refusals; the renderer and the challenge are decided at the start."""

    def __init__(self, plugins: Sequence[LoadedPlugin], catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._render = next(
            (render for loaded in plugins if (render := getattr(loaded.plugin, "render", None))),
            None,
        )
        challenges = (loaded.plugin.challenge for loaded in plugins)
        # Two plugins that read the same kind of token say so once.
        self._challenge = ", ".join(dict.fromkeys(filter(None, challenges)))

    def refusal(self, problem: Problem, exchange: Exchange | None) -> Response:
        """Return the response for a refusal and note it on the exchange."""
        if exchange is not None and (
            exchange.problem is None or exchange.problem.code != problem.code
        ):
            exchange.refusal = Refusal(None, "", problem)
        kind = self._catalogue.kind(problem.code)
        body, media_type = self._worded(problem, kind, exchange)
        response = JsonResponse(body, status=kind.status, content_type=media_type)
        response.headers.update(problem.headers)
        if kind.status == 401 and self._challenge:
            response.headers.setdefault("WWW-Authenticate", self._challenge)
        return response

    def _worded(self, problem: Problem, kind: Kind, exchange: Exchange | None) -> tuple[str, str]:
        """Return body and media type: in the route's own words where its protocol has some."""
        policy = exchange.policy if exchange is not None else None
        if policy is not None and policy.wording is not None:
            try:
                return _two_texts(policy.wording(problem, kind, exchange))
            except BaseException as error:
                log.exception("the wording of a route failed", exc_info=contained(error))
        return self._body(problem, kind, exchange), MEDIA_TYPE

    def _body(self, problem: Problem, kind: Kind, exchange: Exchange | None) -> str:
        if self._render is not None and exchange is not None:
            try:
                found = self._render(problem, kind, exchange)
                let_go(found)
                return json.dumps(found)
            except BaseException as error:
                log.exception("the renderer failed on %s", exchange.id, exc_info=contained(error))
        return json.dumps(bare_body(kind, exchange.id if exchange else ""))


def _two_texts(found: object) -> tuple[str, str]:
    """Return what words a refusal; raises TypeError for anything but a body and its media type."""
    match found:
        case (str() as body, str() as media_type):
            return body, media_type
    let_go(found)
    raise TypeError(f"a wording returned {type(found).__name__}, not a body and its media type")
