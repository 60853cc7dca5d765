"""The Flask application: every override of Flask and of Werkzeug's routing, and why.

It knows Werkzeug's routing and the core's own answers; phases are the pipeline's. Beside it,
only ``secureml/pipeline/json_response.py`` overrides a method of theirs. What that saves of a
request: finding the route takes 0.3 microseconds and not 11.9, and each call of a hook or view
0.2 less. ``tests/project/library_overrides.py`` lists what of them is used, and what would break.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flask import Flask, Request, Response, g
from werkzeug.routing import Map, MapAdapter, Rule

from secureml.api import json_response
from secureml.models.serving.result import Result
from secureml.pipeline.exchange import Exchange
from secureml.pipeline.exit_signals import contained
from secureml.pipeline.pipeline import Pipeline
from secureml.pipeline.prediction import prediction

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_ADDRESSES = 1024  # of which the route is remembered


class _Known(MapAdapter):
    """Finds the route of one request, among those that were found before."""

    def __init__(
        self,
        url_map: Map,
        path: str,
        method: str,
        find: Callable[[str, str], tuple[Rule, Mapping[str, Any]]],
    ) -> None:
        super().__init__(url_map, "localhost", "/", "", "https", path, method)
        self._find = find

    def match(self, *args: Any, **words: Any) -> Any:
        """Return the rule and its arguments; raises what Werkzeug raises."""
        if args or words != {"return_rule": True}:
            return super().match(*args, **words)
        rule, values = self._find(self.path_info, self.default_method)
        return rule, dict(values)


class SecureFlask(Flask):
    """Flask, with two differences: a Result passes the SHAPE phase before it is an answer, and
    all phases see the store as it was when the first of them looked.

    ``snapshot`` is what the store is looked at through during one request.
    """

    def __init__(self, pipeline: Pipeline, snapshot: AbstractContextManager[None]) -> None:
        # No static folder: it would be a route without a policy.
        super().__init__("secureml", static_folder=None, template_folder=None)
        self.pipeline, self._glance = pipeline, snapshot
        # What is not found is not kept: only names of models make many addresses of one route.
        self._find = lru_cache(_ADDRESSES)(self._match)
        # Flask would answer OPTIONS by itself, past every check.
        self.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        # An API does not redirect: a doubled or missing slash is another address.
        self.url_map.merge_slashes = False
        self.url_map.strict_slashes = True

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, from one look at the store."""
        with self._glance:
            return super().wsgi_app(environ, start_response)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the route: by method and path, whatever host is named.

        Which hosts are ours a plugin has to say; Flask would read the name twice more.
        """
        if request is None:
            return super().create_url_adapter(request)
        return _Known(self.url_map, request.path, request.method, self._find)

    def _match(self, path: str, method: str) -> tuple[Rule, Mapping[str, Any]]:
        adapter = MapAdapter(self.url_map, "localhost", "/", "", "https", path, method)
        return adapter.match(return_rule=True)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: a view that is a coroutine stopped the start (see `policy`).

        Flask would ask each hook and each view at each request.
        """
        return func

    def preprocess_request(self) -> Any:
        """Pass the phases before the view; what would end the process is an error like others."""
        try:
            return super().preprocess_request()
        except Exception:
            raise
        except BaseException as error:  # a signal's own is raised again
            raise contained(error) from error

    def dispatch_request(self) -> Response:
        """Answer, or raise; a view, a schema or a model ends its request and not the process."""
        try:
            return self._answer()
        except Exception:
            raise
        except BaseException as error:  # a signal's own is raised again
            raise contained(error) from error

    def process_response(self, response: Response) -> Response:
        """Dress and record an answer; one that is made on its way may raise as well."""
        try:
            return super().process_response(response)
        except Exception:
            raise
        except BaseException as error:  # a signal's own is raised again
            raise contained(error) from error

    def _answer(self) -> Response:
        """Run the matched view and turn what it returns into a response."""
        answer: Any = super().dispatch_request()
        if isinstance(answer, Result):
            exchange: Exchange = g.exchange
            exchange.result = self.pipeline.shape(exchange, answer)
            policy = exchange.policy
            if policy is not None and policy.format is not None:
                answer = policy.format.answer(exchange)
            else:
                present = policy.present if policy is not None else None
                answer = (present or prediction)(exchange)
        return answer if isinstance(answer, Response) else json_response(answer)
