"""The routes a person's browser uses: agree to a program's request, or connect a device.

The request for a code stands in the address and is judged anew at each step, so there is no
``next`` to be led astray by. Nobody is redirected to an address that is not registered with
the program that asks: whatever is wrong before that is known is told on a page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth2 import OAuth2Error
from flask import Blueprint, Response, g

from secureml import Exchange, Problem, public

from . import metadata as urls
from . import pages
from .errors import HTML
from .opaque_tokens import new_token
from .request import OAuth2Request, RequestData
from .server import Server
from .sessions import csrf_token, verify_csrf
from .users import User
from .views import needs_store

COOKIE = "__Host-secureml-oauth2"
FORM_LIMIT = 4096
MAX_QUERY = 4096
_SIGN_IN_COST = 10


class Step(NamedTuple):
    """One request of a browser: its cookie, its own address, and who is signed in."""

    exchange: Exchange
    cookie: str
    action: str
    user: User | None

    @property
    def form(self) -> dict[str, str]:
        """What was filled in."""
        return self.exchange.payload or {}


class BrowserFlow:
    """Signs people in and asks them."""

    def __init__(self, server: Server) -> None:
        self._server, self._engine = server, server.engine
        self._base = urls.origin(server.issuer)

    # -- a request for a code ------------------------------------------------------------

    def show_consent(self, exchange: Exchange) -> Response:
        """Show which client asks for which rights, to the user who is signed in.

        An error goes back to the program no earlier (RFC 9700, 4.11.2): a link to us must not be
        a way to somewhere else for the user who clicks on it.
        """
        step = self._step(exchange)
        request, _grant = self._consent(exchange)
        if step.user is None:
            return self._sign_in_page(step, program=_program(request))
        if isinstance(request, str):
            return _redirect(request)
        client = request.client
        scopes = frozenset(request.scope.split()) & self._server.resource_owners.rights(step.user)
        redirect = request.payload.redirect_uri
        return self._consent_page(
            step, client, scopes, destination=urlsplit(redirect).netloc or redirect, to=redirect
        )

    def submit_consent(self, exchange: Exchange) -> Response:
        """Take what a person filled in."""
        step = self._step(exchange)
        self._check_form(step)
        request, grant = self._consent(exchange)
        word = step.form.get("step")
        if step.user is None or word not in ("allow", "deny"):
            return self._sign_in_or_out(step, program=_program(request))
        if isinstance(request, str):
            return _redirect(request)
        user = step.user if word == "allow" else None
        return _redirect(self._engine.authorize(request, grant, user))

    def _consent(self, exchange: Exchange) -> tuple[OAuth2Request | str, Any]:
        """Return a request that may be agreed to, or where the browser goes with its error."""
        parameters = _parameters(exchange)
        data = RequestData(
            self._base + urls.AUTHORIZE, "GET", parameters, "", None, exchange.add_event
        )
        try:
            return self._engine.consent(data)
        except OAuth2Error as error:
            if error.redirect_uri:
                return self._engine.error_redirect(error, parameters.get("state")), None
            raise _page_refusal(f"oauth2_server.{error.error}") from None

    # -- a device ------------------------------------------------------------------------

    def device(self, exchange: Exchange) -> Response:
        """Ask for the code that the device shows."""
        step = self._step(exchange)
        if step.user is None:
            return self._sign_in_page(step)
        return self._device_page(step, _parameters(exchange).get("user_code", ""))

    def submit_device(self, exchange: Exchange) -> Response:
        """Take the code, then the decision."""
        step = self._step(exchange)
        self._check_form(step)
        word, typed = step.form.get("step"), step.form.get("user_code", "")
        if step.user is None or word not in ("look", "allow", "deny"):
            return self._sign_in_or_out(step)
        device = self._server.devices.lookup(typed)
        client = None if device is None else self._server.active_clients.get(device.oauth_client)
        if device is None or client is None:
            self._server.sessions.record_failure(step.cookie)
            exchange.add_event("input_validation_fail", step.user.client, field="user_code")
            return self._device_page(step, "", wrong=True)
        scopes = device.scopes & client.rights & self._server.resource_owners.rights(step.user)
        if word == "look":
            return self._consent_page(step, client, scopes, typed=typed.strip()[:20])
        allow = word == "allow" and bool(scopes)
        still = self._server.resource_owners.unchanged(step.user)
        done = self._server.devices.approve(
            typed, step.user.name, allow=allow, scopes=scopes, still=still
        )
        text = "The device is connected." if allow and done else "The device was not connected."
        return _page("message", title=text, text="You can close this page.", id="")

    # -- both ----------------------------------------------------------------------------

    def _sign_in_or_out(self, step: Step, program: str = "") -> Response:
        """Sign in or out, and come back to the same address."""
        word = step.form.get("step")
        if word == "sign-out":
            self._server.sessions.end(step.cookie)
            return _redirect(step.action, new_token(""))
        if word != "sign-in":
            return _redirect(step.action)
        user = self._server.resource_owners.sign_in(
            step.form.get("name", ""), step.form.get("password", "")
        )
        cookie = None
        if user is not None:
            still = self._server.resource_owners.unchanged(user)
            cookie = self._server.sessions.begin(user.name, step.cookie, still)
        if user is None or cookie is None:
            step.exchange.add_event("authn_login_fail", by="password")
            return self._sign_in_page(step, program=program, wrong=True)
        step.exchange.add_event("authn_login_success", user.client, subject=user.name)
        return _redirect(step.action, cookie)

    def _step(self, exchange: Exchange) -> Step:
        request = exchange.request
        query = request.environ.get("QUERY_STRING", "")
        cookie = request.cookies.get(COOKIE, "")
        name = self._server.sessions.subject(cookie)
        user = self._server.resource_owners.active(name) if name else None
        return Step(exchange, cookie, f"{request.path}?{query}" if query else request.path, user)

    def _check_form(self, step: Step) -> None:
        """Refuse a form that is not from our page, shown to this browser."""
        headers = step.exchange.request.headers
        origin = headers.get("Origin", self._base)
        site = headers.get("Sec-Fetch-Site", "same-origin")
        given = step.form.get("proof", "")
        ours = origin == self._base and site == "same-origin"
        if not (ours and verify_csrf(given, step.cookie, step.action)):
            step.exchange.add_event("malicious_csrf", step.user.client if step.user else "")
            raise _page_refusal("oauth2_server.foreign_form")

    def _sign_in_page(self, step: Step, *, program: str = "", wrong: bool = False) -> Response:
        cookie = step.cookie or new_token("")
        made = _page(
            "sign_in",
            program=program,
            wrong=wrong,
            action=step.action,
            proof=csrf_token(cookie, step.action),
        )
        made.status_code = 403 if wrong else 200
        return made if step.cookie else _with_cookie(made, cookie)

    def _consent_page(
        self,
        step: Step,
        client: Any,
        scopes: frozenset[str],
        *,
        destination: str = "",
        typed: str = "",
        to: str = "",
    ) -> Response:
        return _page(
            "consent",
            (pages.form_target(to),) if to else (),
            program=client.record.label,
            owner=client.record.client,
            subject=step.user.name if step.user else "",
            rights=pages.rights(scopes),
            destination=destination,
            typed=typed,
            action=step.action,
            proof=csrf_token(step.cookie, step.action),
        )

    def _device_page(self, step: Step, typed: str, *, wrong: bool = False) -> Response:
        proof = csrf_token(step.cookie, step.action)
        return _page("device", typed=typed[:20], wrong=wrong, action=step.action, proof=proof)


def _program(request: OAuth2Request | str) -> str:
    """Return the name of the program that asks, "" where its request is not one to agree to."""
    return "" if isinstance(request, str) else str(request.client.record.label)


def _parameters(exchange: Exchange) -> dict[str, str]:
    """Return the query's parameters, each once and in readable text; raises Problem."""
    query = exchange.request.environ.get("QUERY_STRING", "")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise _page_refusal("oauth2_server.invalid_request") from None
    found = {name: value for name, value in pairs if value}
    readable = query.isascii() and all(value.isprintable() for value in found.values())
    if len(query) > MAX_QUERY or len(dict(pairs)) != len(pairs) or not readable:
        raise _page_refusal("oauth2_server.invalid_request")
    return found


def _page_refusal(code: str) -> Problem:
    return Problem(code, reason=code, headers=pages.headers())


def _page(name: str, targets: tuple[str, ...] = (), **words: Any) -> Response:
    return Response(pages.page(name, **words), content_type=HTML, headers=pages.headers(*targets))


def _redirect(location: str, cookie: str = "") -> Response:
    # 303: the browser must not send the form, and the password in it, once more (RFC 9700, 4.12).
    made = Response(status=303, headers={"Location": location, **pages.headers()})
    return _with_cookie(made, cookie) if cookie else made


def _with_cookie(made: Response, cookie: str) -> Response:
    # Lax, because a program sends the browser here from its own site.
    made.set_cookie(COOKIE, cookie, secure=True, httponly=True, samesite="Lax", path="/")
    return made


def as_page(problem: Problem, kind: Any, exchange: Exchange) -> tuple[str, str]:
    """Word a refusal as a page."""
    text = "Nothing was shared. If a program sent you here, inform its operator."
    return pages.page("message", title=kind.title, text=text, id=exchange.id), HTML


def add(views: Blueprint, flow: BrowserFlow) -> None:
    """Put the routes on a blueprint."""
    looked = public(wording=as_page)
    filled = public(form=True, body_limit=FORM_LIMIT, cost=_SIGN_IN_COST, wording=as_page)
    steps: list[tuple[str, str, Callable[[Exchange], Response], Any]] = [
        ("authorize", "GET", flow.show_consent, looked),
        ("authorize", "POST", flow.submit_consent, filled),
        ("device", "GET", flow.device, looked),
        ("device", "POST", flow.submit_device, filled),
    ]
    for name, method, taken, opened in steps:
        path = urls.AUTHORIZE if name == "authorize" else urls.DEVICE
        view = opened(needs_store(lambda taken=taken: taken(g.exchange)))
        views.add_url_rule(path, f"{name}_{method.lower()}", view, methods=[method])

    @views.get(urls.STYLE, endpoint="style")
    @public()
    def style() -> Response:
        cached = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(pages.style(), content_type="text/css; charset=utf-8", headers=cached)
