"""From a refusal to the response that carries it, whatever else has failed by then.

The wording is the ``errors`` plugin's where one renders, else the bare one: removing a
plugin may make us terse, never talkative.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from flask import Response

from .exchange import Exchange, Refusal
from .loader import Loaded
from .problems import MEDIA_TYPE, Catalogue, Problem, bare_body

log = logging.getLogger("secureml.corridor")


class Answers:
    """Words refusals; the renderer and the challenge are decided at the start."""

    def __init__(self, plugins: Sequence[Loaded], catalogue: Catalogue) -> None:
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
        body = json.dumps(self._body(problem, exchange))
        response = Response(body, status=kind.status, content_type=MEDIA_TYPE)
        response.headers.update(problem.headers)
        if kind.status == 401 and self._challenge:
            response.headers.setdefault("WWW-Authenticate", self._challenge)
        return response

    def _body(self, problem: Problem, exchange: Exchange | None) -> object:
        kind = self._catalogue.kind(problem.code)
        if self._render is not None and exchange is not None:
            try:
                return self._render(problem, kind, exchange)
            except Exception:  # the bare wording stands in: an error about an error still answers
                log.exception("the renderer failed on %s", exchange.id)
        return bare_body(kind, exchange.id if exchange else "")
