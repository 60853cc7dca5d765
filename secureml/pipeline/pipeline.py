"""The phases as Flask hooks, the only ones in the application.

Five before-request hooks in the order of the phases, one after-request hook, one error handler.
After the start a request can only be answered, refused with a known code, or fail closed:

- a step that raises anything unforeseen refuses with 500, never lets through;
- a refusal is dressed (RESPOND) and written down (RECORD) like an answer;
- a vital recorder that fails turns the answer into a 503, and runs before the others so
  that they write the final status;
- a plugin that raises what would end the process ends the request alone (``exit_signals``);
- a plugin in observe mode never changes an answer, it only leaves a line in the log.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from flask import Flask, Response, g, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException

from secureml.pipeline.error_responses import ErrorResponses
from secureml.pipeline.exchange import Exchange, Refusal
from secureml.pipeline.exit_signals import contained
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.phases import BEFORE_VIEW, Phase, skips
from secureml.pipeline.plugin_set import credential_headers, in_environ
from secureml.pipeline.policy import EXTENSION, endpoint_of_other_method
from secureml.pipeline.preflight import Preflights
from secureml.pipeline.principal import Principal
from secureml.pipeline.problems import Catalogue, Problem, problem_of
from secureml.pipeline.refusal_log import COUNTED_HEADER, Refusals
from secureml.pipeline.routes import Routes
from secureml.pipeline.steps import (
    Step,
    check_returned,
    detached,
    differs,
    note_observed,
    reason_of,
    steps_at,
)

log = logging.getLogger("secureml.pipeline")
_clock = time.perf_counter_ns


class Pipeline:
    """Carries each request through the phases; built once, at the start."""

    def __init__(
        self,
        plugins: Sequence[LoadedPlugin],
        catalogue: Catalogue,
        *,
        now: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
        refusals: Refusals,
    ) -> None:
        self._steps = {phase: steps_at(plugins, phase) for phase in Phase}
        self.plugins, self.catalogue = tuple(plugins), catalogue
        self._answers = ErrorResponses(plugins, catalogue)
        self._credential_headers = {in_environ(header) for header in credential_headers(plugins)}
        self._preflights = Preflights(plugins)
        self._now, self._new_id, self._refusals = now, new_id, refusals
        self._routes = Routes({}, lambda exchange: None)

    def attach(self, app: Flask, routes: Routes) -> None:
        """Register the hooks with Flask; nobody else in the application registers one."""
        self._routes = routes
        app.extensions[EXTENSION] = self
        for phase in BEFORE_VIEW:
            app.before_request(self._hook(phase))
        app.after_request(self.leave)
        app.register_error_handler(Exception, self._on_error)

    # -- on the way in -------------------------------------------------------------------

    def _hook(self, phase: Phase) -> Callable[[], Response | None]:
        own: dict[Phase, Callable[[], Response | None]] = {
            Phase.ADMIT: self._admit,
            Phase.IDENTIFY: self._identify,
            Phase.AUTHORIZE: self._authorize,
            Phase.VALIDATE: self._validate,
        }
        if phase in own:
            return own[phase]

        def run() -> None:
            exchange: Exchange = g.exchange
            if not skips(phase, public=exchange.public, known=exchange.known):
                self._run(phase, exchange)

        return run

    def _admit(self) -> Response | None:
        exchange = g.exchange = self._new_exchange()
        self._place(exchange)
        self._run(Phase.ADMIT, exchange)
        if exchange.allowed_origin:
            return self._preflights.answer(exchange, self._routes.policies)
        return None

    def _identify(self) -> None:
        exchange: Exchange = g.exchange
        if skips(Phase.IDENTIFY, public=exchange.public, known=exchange.known):
            return
        if len(self._credential_headers) > 1:
            self._refuse_two_credentials(exchange)
        for step in self._steps[Phase.IDENTIFY]:
            principal: Principal | None = self._take(Phase.IDENTIFY, step, exchange)
            if principal is not None:
                exchange.principal = principal
                return
        self._refuse(exchange, Phase.IDENTIFY, "", Problem("unauthorized", reason="no_credential"))

    def _refuse_two_credentials(self, exchange: Exchange) -> None:
        # RFC 6750, section 2. The first plugin to answer would otherwise decide who it is.
        if sum(name in exchange.request.environ for name in self._credential_headers) > 1:
            problem = Problem("malformed_request", reason="two_credentials")
            self._refuse(exchange, Phase.IDENTIFY, "", problem)

    def _authorize(self) -> None:
        exchange: Exchange = g.exchange
        if skips(Phase.AUTHORIZE, public=exchange.public, known=exchange.known):
            return
        # Before rights are looked at: they are of a version, and that very one must answer.
        self._routes.models.choose(exchange)
        self._run(Phase.AUTHORIZE, exchange)

    def _validate(self) -> None:
        exchange: Exchange = g.exchange
        if skips(Phase.VALIDATE, public=exchange.public, known=exchange.known):
            return
        self._routes.models.choose(exchange)  # of a public route
        try:
            self._routes.prepare(exchange)
        except Problem as problem:
            self._refuse(exchange, Phase.VALIDATE, "payload", problem)
        self._run(Phase.VALIDATE, exchange)

    def shape(self, exchange: Exchange, result: Any) -> Any:
        """Let the SHAPE plugins coarsen a result, each in its turn; none may make it finer."""
        self._routes.models.answered(exchange, result)
        for step in self._steps[Phase.SHAPE]:
            if not step.observe:
                result = self._take(Phase.SHAPE, step, exchange, result)
                continue
            shaped = self._take(Phase.SHAPE, step, exchange, detached(result))
            if shaped is not None and differs(shaped, result):
                log.warning("observed: %s would change the answer of %s", step.plugin, exchange.id)
                exchange.add_event("result_change_observed", plugin=step.plugin)
        return result

    def _new_exchange(self) -> Exchange:
        # The request behind Flask's proxy: plugins keep it no longer than the exchange.
        plain = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
        return Exchange(self._new_id(), plain, self._now(), _clock())

    def _place(self, exchange: Exchange) -> None:
        """Find the policy of the matched route, or of the one route the method misses."""
        rule, exchange.known = request.url_rule, request.routing_exception is None
        endpoint = rule.endpoint if rule is not None else endpoint_of_other_method()
        exchange.policy = self._routes.policies.get(endpoint or "")
        if rule is not None:
            exchange.route = rule.rule
            named = request.view_args or {}
            exchange.model_name = named.get("model", "")
            exchange.model_version = named.get("version", "") if exchange.model_name else ""

    def _run(self, phase: Phase, exchange: Exchange) -> None:
        for step in self._steps[phase]:
            self._take(phase, step, exchange)

    def _take(self, phase: Phase, step: Step, exchange: Exchange, *more: Any) -> Any:
        begin, found = _clock(), None
        exchange.observing = step.observe
        try:
            found = step.call(exchange, *more)
            if found is not None or more:
                check_returned(step, phase, found, *more)
        except (Problem, HTTPException) as refused:
            problem = problem_of(refused)
            if not step.observe:
                self._refuse(exchange, phase, step.plugin, problem)
            note_observed(exchange, phase, step, problem)
        except BaseException as error:  # noqa: BLE001 - what may not be held here is raised again
            self._fail(exchange, phase, step, contained(error))
            found = None
        finally:
            exchange.observing = False
            exchange.timings.append((phase, step.plugin, _clock() - begin))
        return found

    def _fail(self, exchange: Exchange, phase: Phase, step: Step, error: Exception) -> None:
        """Refuse for a fault of the plugin's, unless it only observes."""
        if step.observe:
            words = (step.plugin, phase, exchange.id)
            log.error("observed: %s at %s failed on %s", *words, exc_info=error)
            return
        problem = Problem("internal_error", reason=reason_of(error))
        exchange.refusal = Refusal(phase, step.plugin, problem)
        raise error

    def _refuse(self, exchange: Exchange, phase: Phase, plugin: str, problem: Problem) -> NoReturn:
        exchange.refusal = Refusal(phase, plugin, problem)
        log.info("refused %s at %s by %s: %s", exchange.id, phase, plugin, problem.reason)
        raise problem

    # -- on the way out ------------------------------------------------------------------

    def _on_error(self, error: Exception) -> Response:
        exchange: Exchange | None = g.get("exchange")
        if isinstance(error, (Problem, HTTPException)):
            problem = problem_of(error)
        else:
            # A fault may say that it is not ours for ever: a store that is away is a 503.
            code = getattr(error, "problem_code", "internal_error")
            problem = Problem(code, reason=reason_of(error))
            log.error("request %s failed%s", *_where(exchange), exc_info=error)
        response = self._answers.refusal(problem, exchange)
        problem.settle()
        return response

    def leave(self, response: Response) -> Response:
        """Dress and write down the answer; called by Flask after every request."""
        exchange: Exchange = g.get("exchange") or self._new_exchange()
        if fields := self._routes.models.fields(exchange):
            response.headers.update(fields)
        response, recorders = self._add_headers(exchange, response), self._steps[Phase.RECORD]
        for step in recorders:
            if step.vital:
                self._settle(exchange, response)
                response = self._record_vital(step, exchange, response)
        self._settle(exchange, response)
        self._routes.models.finished(exchange)
        for step in recorders:
            if not step.vital:
                self._guarded(Phase.RECORD, step, exchange)
        return response

    def _add_headers(self, exchange: Exchange, response: Response) -> Response:
        failed = False
        for step in self._steps[Phase.RESPOND]:
            headers = Headers(response.headers) if step.observe else response.headers
            if not self._guarded(Phase.RESPOND, step, exchange, headers):
                failed = True
        if not failed:
            return response
        # An answer that cannot be dressed is withheld; the refusal keeps whatever headers
        # the remaining steps can still give it.
        refusal = self._answers.refusal(
            Problem("internal_error", reason="respond_failed"), exchange
        )
        for step in self._steps[Phase.RESPOND]:
            if not step.observe:
                self._guarded(Phase.RESPOND, step, exchange, refusal.headers)
        return refusal

    def _record_vital(self, step: Step, exchange: Exchange, response: Response) -> Response:
        if self._guarded(Phase.RECORD, step, exchange):
            return response
        problem = Problem("not_recorded", reason=f"{step.plugin}.record_failed")
        return self._add_headers(exchange, self._answers.refusal(problem, exchange))

    def _guarded(self, phase: Phase, step: Step, exchange: Exchange, *more: Any) -> bool:
        begin = _clock()
        exchange.observing = step.observe
        try:
            found = step.call(exchange, *more)
            if found is not None:
                check_returned(step, phase, found)
        except BaseException as error:
            why = contained(error)
            log.exception("%s failed at %s on %s", step.plugin, phase, exchange.id, exc_info=why)
            return step.observe
        finally:
            exchange.observing = False
            exchange.timings.append((phase, step.plugin, _clock() - begin))
        return True

    def _settle(self, exchange: Exchange, response: Response) -> None:
        exchange.status = response.status_code
        exchange.bytes_out = response.calculate_content_length() or 0
        exchange.elapsed_ns = _clock() - exchange.started_ns
        if self._refusals.weigh(exchange) and exchange.proxy_verified:
            response.headers[COUNTED_HEADER] = "1"  # so that Nginx keeps no line either


def _where(exchange: Exchange | None) -> tuple[str, str]:
    """Return a request's id, and in words where and by whom it failed, if a plugin did."""
    if exchange is None:
        return "-", ""
    refusal = exchange.refusal
    by = f" at {refusal.phase} by {refusal.plugin}" if refusal and refusal.plugin else ""
    return exchange.id, by
