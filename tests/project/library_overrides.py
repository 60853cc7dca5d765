"""The internals of libraries that we use: which, from where they are called, and what would break.

What no documentation promises may change in any release. So `pyproject.toml` allows only the
minor release that was tried, and `test_library_bounds.py` says for each row what would break.
A method that ours replaces, without calling it, has the digest of its source beside it: after an
update, read what changed there, decide whether ours must follow, and write the new digest.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import textwrap
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Internal:
    """One name of a library that no documentation promises.

    ``library`` is its name on the package index, ``what`` is written ``module:name``, ``ours``
    is the file or folder that uses it, and ``breaks`` says what would break. ``parameters`` are
    the names of its parameters, "" where it is not a function. ``statements`` are pairs of a
    function of the library and a statement in it, which show that and how it is called.
    ``digest`` is of its source where ours replaces it.
    """

    library: str
    what: str
    ours: str
    breaks: str
    parameters: str = ""
    statements: tuple[tuple[str, str], ...] = ()
    digest: str = ""

    @cached_property
    def value(self) -> Any:
        """What stands there now; raises AttributeError or ModuleNotFoundError."""
        return resolve(self.what)


def resolve(what: str) -> Any:
    """Return what ``module:name.name`` names; a property as the function behind it."""
    module, _, path = what.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = inspect.getattr_static(found, name)
        found = getattr(found, "__func__", found)
    return found.fget if isinstance(found, property) else found


def source_of(what: str) -> str:
    """Return the source of a function as Python would write it, without comments."""
    return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(resolve(what)))))


def digest(what: str) -> str:
    """Return a digest of the very source."""
    return hashlib.sha256(inspect.getsource(resolve(what)).encode()).hexdigest()[:16]


_GTHREAD = "gunicorn.workers.gthread"
_BOUNDED, _INLINE = "secureml/workers/bounded.py", "secureml/workers/inline_thread.py"
_LISTENING, _LIFECYCLE = "secureml/workers/listening.py", "secureml/workers/lifecycle.py"
_FLASK, _RESPONSE = "secureml/flask_app.py", "secureml/pipeline/json_response.py"
_LIMITS, _STRATEGIES = "plugins/rate_limit/storage.py", "plugins/rate_limit/strategies.py"
_JWT, _LINE = "plugins/jwt/signatures.py", "plugins/access_log/formatter.py"
_REFRESH = "authlib.oauth2.rfc6749.grants.refresh_token:RefreshTokenGrant"
_FETCH = "secureml/kit/fetch.py"
_GRANTS, _PICKLES = "plugins/oauth2_server/grants.py", "secureml/models/unpickling"

_NEW_LIMITER = (
    "if self not in app.extensions.setdefault('limiter', set()):\n        app.before_request("
)

GUNICORN = [
    Internal(
        "gunicorn", f"{_GTHREAD}:ThreadWorker.handle", _BOUNDED,
        "a request would not be held to its time, and quick ones not be answered in the thread "
        "they arrive in: `handle_in_time` calls `handle` once it has begun the connection itself",
        parameters="self conn",
        statements=(
            (f"{_GTHREAD}:ThreadWorker.enqueue_req", "self.tpool.submit(self.handle, conn)"),
            (f"{_GTHREAD}:ThreadWorker.handle", "req = next(conn.parser)"),
            (f"{_GTHREAD}:ThreadWorker.handle",
             "return self._keepalive_after(conn, self.handle_request(req, conn))"),
        ),
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:ThreadWorker.handle_request", _BOUNDED,
        "a client that does not take its answer would hold a thread",
        parameters="self req conn",
    ),
    Internal(
        "gunicorn", "gunicorn.arbiter:Arbiter.handle_hup", _LIFECYCLE,
        "SIGHUP would start new workers of the old state: `on_starting` replaces it by "
        "`handle_usr2`",
        parameters="self",
        statements=(("gunicorn.arbiter:Arbiter.run",
                 "getattr(self, 'handle_%s' % signame, None)"),),
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:TConn.init", _BOUNDED,
        "`BoundedWorker._begin` replaces it: what it does beyond that is "
        "not done, and where `initialized` no longer ends it, a connection begins twice",
        parameters="self",
        statements=((f"{_GTHREAD}:ThreadWorker.handle", "conn.init()"),
                (f"{_GTHREAD}:TConn.init", "if self.initialized:\n        return")),
        digest="5ff3d4ba451cfdf3",
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:TConn.wait_for_data", _BOUNDED,
        "a client that says nothing would hold a thread",
        parameters="self timeout",
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:TConn.close", _BOUNDED,
        "`BoundedWorker._part` replaces it: clients would not be waited for by the poller, "
        "or hold the main thread",
        parameters="self graceful",
        statements=((f"{_GTHREAD}:ThreadWorker.finish_request", "conn.close(graceful=True)"),),
        digest="6d1c334ed1979fcb",
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:_DEFER", _BOUNDED,
        "a connection that has said nothing yet would be closed instead of waited for",
        statements=((f"{_GTHREAD}:ThreadWorker.finish_request", "result is _DEFER"),),
    ),
    Internal(
        "gunicorn", "gunicorn.http.unreader:SocketUnreader.chunk", _BOUNDED,
        "`Arrival` would not see each reading of a connection, so a request could take for ever",
        parameters="self size_hint",
        statements=(("gunicorn.http.unreader:Unreader.read", "self.chunk(read_ahead)"),
                ("gunicorn.http.unreader:Unreader.read", "chunk = self.chunk(")),
    ),
    Internal(
        "gunicorn", "gunicorn.http:get_parser", _BOUNDED,
        "`BoundedWorker._begin` would not get the parser whose `unreader` it exchanges",
        parameters="cfg source source_addr http2_connection",
        statements=(("gunicorn.http.parser:Parser.__init__",
                 "self.unreader = SocketUnreader(source)"),),
    ),
    Internal(
        "gunicorn", "gunicorn.sock:ssl_wrap_socket", _BOUNDED,
        "`secureml serve --no-nginx` could not speak TLS",
        parameters="sock conf",
    ),
    Internal(
        "gunicorn", "gunicorn.util:close", _BOUNDED,
        "connections would not be closed",
        parameters="sock",
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:ThreadWorker.murder_pending", _BOUNDED,
        "clients that do not close an ended connection would never be let go",
        parameters="self",
        statements=((f"{_GTHREAD}:ThreadWorker.run", "self.murder_pending()"),),
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:ThreadWorker.set_accept_enabled", _BOUNDED,
        "a worker that ends would go on taking connections that nobody answers",
        parameters="self enabled",
        statements=((f"{_GTHREAD}:ThreadWorker.run", "self.set_accept_enabled(False)"),),
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:ThreadWorker.init_process", _INLINE,
        "the deputy would not begin, or begin in the master",
        parameters="self",
        statements=(("gunicorn.arbiter:Arbiter.spawn_worker", "worker.init_process()"),),
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:ThreadWorker.enqueue_req", _INLINE,
        "quick requests would not be answered in the thread they arrive in",
        parameters="self conn",
        statements=(
            (f"{_GTHREAD}:ThreadWorker.accept", "self.enqueue_req(conn)"),
            (f"{_GTHREAD}:ThreadWorker.on_client_socket_readable", "self.enqueue_req(conn)"),
            (f"{_GTHREAD}:ThreadWorker.on_pending_socket_readable", "self.enqueue_req(conn)"),
        ),
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:ThreadWorker.finish_request", _INLINE,
        "`_Done` takes the place of a future there: a connection would not be kept or closed "
        "after a request that was answered in the thread it arrived in",
        parameters="self conn fs",
        statements=((f"{_GTHREAD}:ThreadWorker.finish_request",
                 "fs.result() if not fs.cancelled() else False"),),
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:ThreadWorker.wait_for_and_dispatch_events", _INLINE,
        "ours replaces it: the main thread and its deputy would both answer for a "
        "connection, or neither",
        parameters="self timeout",
        statements=((f"{_GTHREAD}:ThreadWorker.run",
                     "self.wait_for_and_dispatch_events(timeout="),),
        digest="ea969b352482bd5c",
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:ThreadWorker.accept", _INLINE,
        "ours calls it until `nr_conns` stays the same: a worker would take no connection, or "
        "all of them",
        parameters="self listener",
        statements=((f"{_GTHREAD}:ThreadWorker.accept", "self.nr_conns += 1"),),
    ),
    Internal(
        "gunicorn", f"{_GTHREAD}:ThreadWorker.murder_keepalived", _INLINE,
        "the deputy could not close idle connections while a slow request is answered",
        parameters="self force",
    ),
    Internal(
        "gunicorn", "gunicorn.util:write_error", _LISTENING,
        "Gunicorn would answer with its own HTML page, which quotes what it could not parse",
        parameters="sock status_int reason mesg",
        statements=(("gunicorn.workers.base:Worker.handle_error",
                 "util.write_error(client, status_int, reason, mesg)"),),
        digest="bd0143a03c15a2c8",
    ),
    Internal(
        "gunicorn", "gunicorn.http.wsgi:SERVER", _LISTENING,
        "answers would name Gunicorn as the server",
        statements=(("gunicorn.http.wsgi:Response.__init__", "self.version = SERVER"),),
    ),
    Internal(
        "gunicorn", "gunicorn.util:write_nonblock", _LISTENING,
        "Gunicorn could not refuse a request it cannot read",
        parameters="sock data chunked",
    ),
    Internal(
        "gunicorn", "gunicorn.systemd:sd_notify", _LIFECYCLE,
        "systemd would not learn which master it must watch after a reload",
        parameters="state logger unset_environment",
    ),
]  # fmt: skip

FLASK = [
    Internal(
        "flask", "flask.app:Flask.create_url_adapter", _FLASK,
        "`_Known` would not find the routes: each request would pay the search again, or take the "
        "Host header for a part of its route",
        parameters="self request",
        statements=(("flask.ctx:RequestContext.__init__",
                 "self.url_adapter = app.create_url_adapter(self.request)"),),
        digest="066133a70e406d12",
    ),
    Internal(
        "werkzeug", "werkzeug.routing:MapAdapter.match", _FLASK,
        "`_Known` answers for it where Flask asks for a rule, and only there",
        parameters="self path_info method return_rule query_args websocket",
        statements=(("flask.ctx:RequestContext.match_request",
                 "self.url_adapter.match(return_rule=True)"),),
    ),
    Internal(
        "werkzeug", "werkzeug.routing:MapAdapter.__init__", _FLASK,
        "`_Known` could not be made",
        parameters="self map server_name script_name subdomain url_scheme path_info "
        "default_method query_args",
    ),
    Internal(
        "flask", "flask.app:Flask.ensure_sync", _FLASK,
        "each hook and view would be asked at each request whether it is a coroutine",
        parameters="self func",
        digest="93da8bd89e2a20b7",
    ),
    Internal(
        "flask", "flask.app:Flask.preprocess_request", _FLASK,
        "what a phase raises could end the worker",
        parameters="self",
        statements=(("flask.app:Flask.full_dispatch_request", "rv = self.preprocess_request()"),),
    ),
    Internal(
        "flask", "flask.app:Flask.dispatch_request", _FLASK,
        "a prediction would reach the wire without passing the SHAPE phase",
        parameters="self",
        statements=(("flask.app:Flask.full_dispatch_request", "rv = self.dispatch_request()"),),
    ),
    Internal(
        "flask", "flask.app:Flask.process_response", _FLASK,
        "what RESPOND or RECORD raises could end the worker",
        parameters="self response",
        statements=(("flask.app:Flask.finalize_request",
                 "response = self.process_response(response)"),),
    ),
    Internal(
        "flask", "flask.app:Flask.wsgi_app", _FLASK,
        "the phases of one request could see the store in two states",
        parameters="self environ start_response",
        statements=(("flask.app:Flask.__call__", "return self.wsgi_app(environ, start_response)"),),
    ),
    Internal(
        "urllib3", "urllib3.connection:HTTPConnection._new_conn", _FETCH,
        "a document of an issuer would come from an address that nobody has checked",
        parameters="self",
        statements=(("urllib3.connection:HTTPConnection.connect", "self.sock = self._new_conn()"),),
    ),
    Internal(
        "urllib3", "urllib3.connection:HTTPSConnection.connect", _FETCH,
        "a document of an issuer would come from an address that nobody has checked",
        parameters="self",
        statements=(("urllib3.connection:HTTPSConnection.connect",
                 "self.sock = sock = self._new_conn()"),),
    ),
    Internal(
        "werkzeug", "werkzeug.wrappers.response:Response.get_wsgi_headers", _RESPONSE,
        "ours replaces it for JSON: what it does to headers beyond completing addresses "
        "and lengths is not done",
        parameters="self environ",
        statements=(("werkzeug.wrappers.response:Response.get_wsgi_response",
                 "headers = self.get_wsgi_headers(environ)"),),
        digest="c602160e42792250",
    ),
    Internal(
        "werkzeug", "werkzeug.wrappers.response:Response.get_app_iter", _RESPONSE,
        "ours replaces it for JSON: the text of an answer might not be sent, or what "
        "waits for its end not be called",
        parameters="self environ",
        statements=(("werkzeug.wrappers.response:Response.get_wsgi_response",
                 "app_iter = self.get_app_iter(environ)"),
                ("werkzeug.wrappers.response:Response.close", "for func in self._on_close:")),
        digest="e5cf208df0ccb585",
    ),
]  # fmt: skip

LIMITS = [
    Internal(
        "limits", "limits.strategies:STRATEGIES", _STRATEGIES,
        "Flask-Limiter would not find our strategies by their names, and the start fail",
        statements=(("flask_limiter._extension:Limiter.init_app",
                 "self._limiter = STRATEGIES[self._strategy](self._storage)"),),
    ),
    Internal(
        "limits", "limits.strategies:FixedWindowRateLimiter.hit", _STRATEGIES,
        "ours replaces it on our storage: refused requests would be counted, or none",
        parameters="self item identifiers cost",
        digest="3e3f20e53cdad160",
    ),
    Internal(
        "flask-limiter", "flask_limiter:Limiter.init_app", _LIMITS,
        "Flask-Limiter would register its hooks although the app has the limiter already: each "
        "request would be counted twice, once outside the phases",
        parameters="self app",
        statements=(("flask_limiter:Limiter.init_app", _NEW_LIMITER),),
    ),
    Internal(
        "flask-limiter", "flask_limiter._limits:Limit.__iter__", _LIMITS,
        "a declared limit would not give the item of `limits` that is hit",
        parameters="self",
    ),
]  # fmt: skip

TOKENS = [
    Internal(
        "flask-jwt-extended",
        "flask_jwt_extended.jwt_manager:JWTManager._decode_jwt_from_config", _JWT,
        "our rules for header and claims are the decode key callback: they would not hold "
        "where it is not called, or is not told the claims, before the signature is computed",
        parameters="self encoded_token csrf_value allow_expired",
        statements=(
            ("flask_jwt_extended.jwt_manager:JWTManager._decode_jwt_from_config",
             "secret = self._decode_key_callback(unverified_headers, unverified_claims)"),
            ("flask_jwt_extended.jwt_manager:JWTManager._decode_jwt_from_config",
             "return _decode_jwt(**kwargs, allow_expired=allow_expired)"),
            ("flask_jwt_extended.utils:decode_token",
             "jwt_manager._decode_jwt_from_config(encoded_token, csrf_value, allow_expired)"),
            ("flask_jwt_extended.view_decorators:_decode_jwt_from_request", "decode_token("),
        ),
    ),
    Internal(
        "flask-jwt-extended", "flask_jwt_extended.view_decorators:verify_jwt_in_request", _JWT,
        "revocation is checked in the user lookup: a revoked token would pass",
        parameters="optional fresh refresh locations verify_type skip_revocation_check",
        statements=(("flask_jwt_extended.view_decorators:verify_jwt_in_request", "_load_user("),
                ("flask_jwt_extended.view_decorators:verify_jwt_in_request",
                 "if request.method in config.exempt_methods:\n        return None")),
    ),
    Internal(
        "authlib",
        f"{_REFRESH}._validate_request_token",
        _GRANTS,
        "a refresh token that was used before would not end its family",
        parameters="self client",
        statements=(
            (f"{_REFRESH}.validate_token_request", "self._validate_request_token(client)"),
        ),
        digest="ec8a7a0899cc5691",
    ),
    Internal(
        "authlib",
        f"{_REFRESH}._validate_token_scope",
        _GRANTS,
        "a refreshed token could hold more rights than were granted",
        parameters="self token",
        statements=(
            (f"{_REFRESH}.validate_token_request", "self._validate_token_scope("),
        ),
        digest="4b22318136a66f43",
    ),
]  # fmt: skip

LOG = [
    Internal(
        "python-json-logger", "pythonjsonlogger.core:BaseJsonFormatter.format", _LINE,
        "it is given a record with no more than what it reads today: no line would be written",
        parameters="self record",
        statements=(("pythonjsonlogger.core:BaseJsonFormatter.format",
                     "message_dict = record.msg.copy()"),),
    ),
    Internal(
        "python-json-logger", "pythonjsonlogger.core:BaseJsonFormatter.add_fields", _LINE,
        "ours replaces it: fields of the library's own would be missing from the lines, "
        "or the fields of a line be lost",
        parameters="self log_data record message_dict",
        statements=(("pythonjsonlogger.core:BaseJsonFormatter.format",
                 "self.add_fields(log_data, record, message_dict)"),),
        digest="a571890b125d880a",
    ),
]  # fmt: skip

MODELS = [
    Internal(
        "joblib", "joblib.numpy_pickle:NumpyArrayWrapper.read_array", _PICKLES,
        "our reader replaces it: arrays of a file would be read from the wrong bytes",
        parameters="self unpickler ensure_native_byte_order",
        digest="df5a2818ac93b6b0",
    ),
    Internal(
        "joblib", "joblib.parallel:BACKENDS", _PICKLES,
        "a model could start processes or threads while it answers",
        statements=(("joblib.parallel:register_parallel_backend", "BACKENDS[name] = factory"),),
    ),
    *(
        Internal("scikit-learn", what, _PICKLES, breaks)
        for what, breaks in (
            ("sklearn.tree._tree:Tree", "trees could not be read, nor their nodes be checked"),
            ("sklearn.ensemble._hist_gradient_boosting.binning:_BinMapper",
             "the bins of a boosted model would not be checked"),
            ("sklearn.ensemble._hist_gradient_boosting.predictor:TreePredictor",
             "the trees of a boosted model would not be checked"),
            ("sklearn.ensemble._hist_gradient_boosting.common:X_DTYPE",
             "a boosted model over categories would not be recognised"),
            ("sklearn._loss.link:BaseLink", "the link of a boosted model would not be checked"),
            ("sklearn._loss.loss:HalfMultinomialLoss",
             "the loss of a boosted model would not be checked"),
            ("sklearn._loss._loss:CyHalfMultinomialLoss", "boosted models could not be read"),
            ("sklearn.preprocessing:PolynomialFeatures._num_combinations",
             "the number of terms of a polynomial would not be checked"),
            ("sklearn.utils._test_common.instance_generator:_construct_instances",
             "the list of allowed names could not be made again"),
            ("sklearn.metrics._scorer:_BaseScorer", "the list of allowed names would lack scorers"),
        )
    ),
]  # fmt: skip

_VERIFIED = "expected_manifest = self._verifier.verify(signature)"
BUNDLES = [
    Internal(
        "model-signing", "model_signing._signing.sign_ec_key:Verifier",
        "secureml/models/provenance/bundle.py", "no bundle could be verified",
        statements=(("model_signing.verifying:Config.verify", _VERIFIED),
                    ("model_signing.verifying:Config.use_elliptic_key_verifier",
                     "self._verifier = ec_key.Verifier(pathlib.Path(public_key))")),
    ),
    Internal(
        "model-signing", "model_signing._signing.sign_sigstore_pb:Signature",
        "secureml/models/provenance/bundle.py", "no bundle could be read",
        statements=(("model_signing.verifying:Config.verify",
                     "signature = sigstore_pb.Signature.read(pathlib.Path(signature_path))"),),
    ),
]  # fmt: skip

INTERNALS = [*BUNDLES, *GUNICORN, *FLASK, *LIMITS, *TOKENS, *LOG, *MODELS]
