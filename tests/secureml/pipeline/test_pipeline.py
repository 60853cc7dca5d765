"""The phases as Flask hooks: order, refusals, failures, and the six pitfalls of the design."""

from __future__ import annotations

import asyncio
import io
import logging

import pytest
from flask import Blueprint, Response, abort, g
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secureml import (
    Kind,
    Phase,
    Plugin,
    Principal,
    Problem,
    Result,
    StoreUnavailable,
    public,
    requires,
)
from secureml.pipeline.pipeline import Pipeline
from secureml.pipeline.problems import MEDIA_TYPE, Catalogue
from secureml.pipeline.refusal_log import RecordingPolicy, Refusals
from secureml.pipeline.steps import detached
from secureml.testing import Harness

SOMEONE = Principal("c", "c", frozenset({"read"}), frozenset({"*"}), "standard", "phase", "k1")
METHODS = {phase: phase.value for phase in Phase}


@pytest.fixture
def harness(tmp_path):
    """A folder with a real store."""
    return Harness(tmp_path)


def make(name, **methods):
    """Return a plugin class with these phases."""
    return type(name.title(), (Plugin,), {"name": name, **methods})


def names_everyone(plugin, exchange):
    """An IDENTIFY step that knows everyone."""
    return SOMEONE


def allows(plugin, exchange):
    """A step that refuses no one."""


Check = make("phase", identify=names_everyone, authorize=allows)


def refuses(code="forbidden", reason="because"):
    """Return a step that refuses."""

    def refuse(plugin, exchange, *more):
        raise Problem(code, reason=reason)

    return refuse


def breaks(plugin, exchange, *more):
    """A step with a fault of its own."""
    raise ValueError("secret detail")


def views():
    """Routes of a test's own: one guarded, one public, one that fails, one that answers None."""
    blueprint = Blueprint("test", __name__)

    @blueprint.get("/guarded")
    @requires("read")
    def guarded():
        return {"ok": True}

    @blueprint.get("/open")
    @public()
    def opened():
        return {"ok": True}

    @blueprint.get("/broken")
    @public()
    def broken():
        raise ValueError("secret detail")

    @blueprint.get("/refusing")
    @public()
    def refusing():
        raise Problem("rate_limited", headers={"Retry-After": "7"})

    @blueprint.get("/nothing")
    @public()
    def nothing():
        return object()

    return blueprint


def client_of(harness, *classes, modes=None, **words):
    """Return a test client of an app with these plugins."""
    loaded = [harness.load(cls, (modes or {}).get(cls.name)) for cls in classes]
    return harness.app(loaded, [views()], **words).test_client()


def test_the_phases_are_passed_in_order_and_plugins_in_the_order_of_the_list(harness):
    """First the phase decides, then the list."""
    passed = []

    def noting(phase):
        def note(plugin, exchange, *more):
            passed.append((plugin.name, phase))
            return SOMEONE if phase == "identify" and plugin.name == "b" else None

        return note

    phases = {phase.value: noting(phase.value) for phase in Phase if phase is not Phase.SHAPE}
    client = client_of(harness, make("b", **phases), make("a", **phases))

    assert client.get("/guarded").status_code == 200
    assert passed == [
        ("b", "admit"),
        ("a", "admit"),
        ("b", "identify"),
        ("b", "authorize"),
        ("a", "authorize"),
        ("b", "limit"),
        ("a", "limit"),
        ("b", "validate"),
        ("a", "validate"),
        ("b", "respond"),
        ("a", "respond"),
        ("b", "record"),
        ("a", "record"),
    ]


def test_the_core_registers_the_only_hooks(harness):
    """Five before the view, one after it, one error handler."""
    app = harness.app([harness.load(Check)], [views()])

    assert [len(hooks) for hooks in app.before_request_funcs.values()] == [5]
    assert [len(hooks) for hooks in app.after_request_funcs.values()] == [1]


def test_a_stranger_gets_401_for_what_exists_and_what_does_not(harness):
    """Our map is not public."""
    stranger = make("phase", identify=allows, authorize=allows)
    client = client_of(harness, stranger)

    assert client.get("/guarded").status_code == 401
    assert client.get("/nowhere").status_code == 401
    assert client.post("/guarded").status_code == 401


def test_a_known_caller_gets_404_and_405(harness):
    """Pitfall 2: Werkzeug's own exceptions keep their meaning."""
    client = client_of(harness, Check)

    assert client.get("/nowhere").status_code == 404
    wrong_method = client.post("/guarded")
    assert (wrong_method.status_code, wrong_method.headers["Allow"]) == (405, "GET, HEAD")


def test_a_wrong_method_on_a_public_path_is_405_for_strangers(harness):
    """There is nothing to hide about a public path."""
    client = client_of(harness, make("phase", identify=allows, authorize=allows))

    assert client.post("/open").status_code == 405
    assert client.get("/open").status_code == 200


def test_options_is_not_answered_by_flask(harness):
    """Pitfall 4."""
    assert client_of(harness, Check).options("/guarded").status_code == 405


def test_there_is_no_static_route(harness):
    """Pitfall 5: it would be a route without a policy."""
    app = harness.app([harness.load(Check)])

    assert not [rule for rule in app.url_map.iter_rules() if "static" in rule.endpoint]


@pytest.mark.parametrize("path", ["//guarded", "/guarded/", "/open/"])
def test_no_address_is_redirected(harness, path):
    """An API answers where it was asked or says 404."""
    assert client_of(harness, Check).get(path).status_code == 404


def test_a_respond_step_that_breaks_still_leaves_a_record(harness):
    """Pitfall 1: audit must not lose the request."""
    seen = []
    recorder = make("book", record=lambda plugin, exchange: seen.append(exchange.status))
    client = client_of(harness, Check, make("dress", respond=breaks), recorder)

    answer = client.get("/guarded")

    assert (answer.status_code, seen) == (500, [500])
    assert b"secret detail" not in answer.data


def test_later_respond_steps_dress_the_500_too(harness):
    """A failing header plugin does not cost the others' headers."""
    dress = make("good", respond=lambda plugin, exchange, headers: headers.set("X-A", "1"))
    client = client_of(harness, Check, make("bad", respond=breaks), dress)

    assert client.get("/guarded").headers.getlist("X-A") == ["1"]


def test_a_vital_recorder_that_fails_withholds_the_answer(harness):
    """Unwritten means unanswered."""
    vital = make("audit", record=breaks, vital=True)
    answer = client_of(harness, Check, vital).get("/guarded")

    assert (answer.status_code, answer.json["code"]) == (503, "not_recorded")


def test_other_recorders_write_the_final_status_though_listed_first(harness):
    """Pitfall 3: a log that says 200 for a 503 lies."""
    seen = []
    log = make("log", record=lambda plugin, exchange: seen.append(exchange.status))
    client = client_of(harness, Check, log, make("audit", record=breaks, vital=True))

    client.get("/guarded")

    assert seen == [503]


def test_a_recorder_that_is_not_vital_may_fail(harness, caplog):
    """Best effort: logged, and the answer stands."""
    with caplog.at_level(logging.ERROR, "secureml"):
        answer = client_of(harness, Check, make("log", record=breaks)).get("/guarded")

    assert answer.status_code == 200
    assert "log failed at record" in caplog.text


def test_when_the_exchange_cannot_be_made_the_answer_is_still_a_problem(harness):
    """Pitfall 6: the first step of all may fail, and is answered and recorded as well."""
    ids = iter([RuntimeError("no entropy"), "f" * 32])
    seen = []

    def new_id():
        found = next(ids)
        if isinstance(found, Exception):
            raise found
        return found

    recorder = make("book", record=lambda plugin, exchange: seen.append(exchange.status))
    answer = client_of(harness, Check, recorder, new_id=new_id).get("/guarded")

    assert (answer.status_code, answer.content_type, seen) == (500, MEDIA_TYPE, [500])


@pytest.mark.parametrize("phase", ["admit", "identify", "authorize", "limit", "validate"])
def test_an_unforeseen_error_at_any_phase_refuses(harness, phase):
    """Fail closed, and say nothing about why."""
    client = client_of(harness, make("first", **{phase: breaks}), Check)
    answer = client.get("/guarded")

    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert b"secret" not in answer.data


@pytest.mark.parametrize("phase", ["admit", "limit", "validate"])
def test_an_observed_refusal_lets_through_and_is_noted(harness, phase, caplog):
    """An operator can try a rule on live traffic first."""
    seen = []
    rule = make("rule", **{phase: refuses()})
    recorder = make("book", record=lambda plugin, exchange: seen.extend(exchange.observed))
    client = client_of(harness, Check, rule, recorder, modes={"rule": {"mode": "observe"}})

    with caplog.at_level(logging.WARNING, "secureml"):
        assert client.get("/guarded").status_code == 200

    assert [(item.plugin, item.problem.reason) for item in seen] == [("rule", "because")]
    assert "rule" in caplog.text


def test_an_observed_plugin_that_breaks_changes_no_answer(harness):
    """Observing never changes an answer, not even by a fault."""
    client = client_of(
        harness, Check, make("rule", limit=breaks), modes={"rule": {"mode": "observe"}}
    )

    assert client.get("/guarded").status_code == 200


def test_a_refusal_is_recorded_with_phase_plugin_and_reason(harness):
    """Refusals are recorded like answers."""
    seen = []
    recorder = make("book", record=lambda plugin, exchange: seen.append(exchange.refusal))
    client_of(harness, Check, make("rule", limit=refuses(reason="too eager")), recorder).get(
        "/guarded"
    )

    assert [(item.phase, item.plugin, item.problem.reason) for item in seen] == [
        (Phase.LIMIT, "rule", "too eager")
    ]


def test_each_step_is_timed(harness):
    """Per plugin and phase, in nanoseconds."""
    seen = []
    recorder = make("book", record=lambda plugin, exchange: seen.extend(exchange.timings))
    client_of(harness, Check, recorder).get("/guarded")

    assert [(phase.value, name) for phase, name, _ in seen] == [
        ("identify", "phase"),
        ("authorize", "phase"),
    ]
    assert all(nanoseconds > 0 for *_, nanoseconds in seen)


def test_a_401_carries_the_challenges_of_those_who_identify(harness):
    """RFC 9110: a 401 names at least one way in."""
    key = make("key", identify=allows, challenge='ApiKey realm="x"')
    token = make("token", identify=allows, authorize=allows, challenge="Bearer")

    answer = client_of(harness, key, token).get("/guarded")

    assert answer.headers["WWW-Authenticate"] == 'ApiKey realm="x", Bearer'


def reads(header):
    """Return the methods of a plugin that takes its credential from one header."""

    def identify(plugin, exchange):
        found = exchange.request.headers.get(header)
        return names_everyone(plugin, exchange) if found else None

    return {"identify": identify, "credential_header": header}


@pytest.mark.parametrize("order", [1, -1])
def test_two_credentials_at_once_are_refused_whatever_the_order(harness, order):
    """Else the list would decide which of two callers it is."""
    phases = [make("one", **reads("X-One")), make("two", **reads("Authorization"))][::order]
    client = client_of(harness, *phases, make("allow", authorize=allows))
    one, two = {"X-One": "a"}, {"Authorization": "b"}

    assert client.get("/v1/models", headers=one).status_code == 200
    assert client.get("/v1/models", headers=two).status_code == 200
    answer = client.get("/v1/models", headers={**one, **two})
    assert (answer.status_code, answer.json["code"]) == (400, "malformed_request")
    assert client.get("/healthz", headers={**one, **two}).status_code == 200


def test_two_plugins_that_read_one_header_share_it(harness):
    """Tokens of ours and of others stand in the same place."""
    phases = [make("one", **reads("Authorization")), make("two", **reads("authorization"))]
    client = client_of(harness, *phases, make("allow", authorize=allows))

    assert client.get("/v1/models", headers={"Authorization": "a"}).status_code == 200


def test_a_problem_raised_by_a_view_keeps_its_headers(harness):
    """Retry-After reaches the caller."""
    answer = client_of(harness, Check).get("/refusing")

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize("path", ["/broken", "/nothing"])
def test_a_view_that_fails_is_a_500_without_detail(harness, path):
    """Whether it raises or returns what cannot be sent."""
    answer = client_of(harness, Check).get(path)

    assert (answer.status_code, sorted(answer.json)) == (500, ["code", "id"])


def test_a_fault_that_names_a_code_is_answered_with_it(harness):
    """A store that is away is a 503, not a fault of the program."""

    def away(plugin, exchange):
        raise StoreUnavailable("gone")

    answer = client_of(harness, Check, make("needy", limit=away)).get("/guarded")

    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")


def test_a_renderer_that_breaks_leaves_the_bare_wording(harness):
    """An error about an error is still an answer."""
    client = client_of(harness, Check, make("words", render=lambda *_: {}["x"]))

    assert sorted(client.get("/nowhere").json) == ["code", "id"]


random_steps = st.lists(
    st.tuples(st.sampled_from(["admit", "authorize", "limit", "validate"]), st.booleans()),
    max_size=6,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(random_steps, random_steps)
def test_adding_plugins_never_turns_a_refusal_into_an_answer(harness, some, more):
    """Each plugin can only close the way further."""

    def status(steps):
        classes = [
            make(f"p{n}", **{phase: refuses() if no else allows})
            for n, (phase, no) in enumerate(steps)
        ]
        return client_of(harness, Check, *classes).get("/guarded").status_code

    before, after = status(some), status([*some, *more])

    assert before == 200 or after != 200


def form_app(tmp_path, wording):
    """An app with one route that takes a form and words its refusals."""
    views = Blueprint("words", __name__)

    @views.post("/form")
    @public(form=True, body_limit=20, wording=wording)
    def form():
        return {"payload": g.exchange.payload}

    return Harness(tmp_path).app([], [views]).test_client()


def test_a_route_with_words_of_its_own_refuses_in_them(tmp_path):
    """The status and the headers stay the pipeline's."""
    client = form_app(tmp_path, lambda problem, kind, exchange: (f"<{kind.code}>", "text/html"))
    assert client.post("/form", data={"a": "b"}).json == {"payload": {"a": "b"}}
    for words, code, status in (
        ({"data": {"a": "x" * 20}}, "body_too_large", 413),
        ({"json": {}}, "unsupported_media_type", 415),
        ({"data": {"a": ["1", "2"]}}, "malformed_request", 400),
    ):
        answer = client.post("/form", **words)
        assert (answer.status_code, answer.text, answer.mimetype) == (
            status, f"<{code}>", "text/html",
        )  # fmt: skip
    answer = client.get("/form")
    assert (answer.status_code, answer.text, answer.headers["Allow"]) == (
        405, "<method_not_allowed>", "POST",
    )  # fmt: skip


def test_words_that_fail_leave_the_bare_ones(tmp_path):
    """An error about an error still answers."""

    def broken(problem, kind, exchange):
        raise ValueError

    answer = form_app(tmp_path, broken).post("/form", data={"a": "x" * 20})
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def recorder(name="book", **methods):
    """Return a plugin that keeps what it records and hears."""

    def record(self, exchange):
        self.seen.append((exchange.status, exchange.counted, list(exchange.events_to_record)))

    def on_event(self, event):
        self.seen.append(event)

    phases = {"record": record, "on_event": on_event, **methods}
    cls = make(name, **phases)
    cls.seen = []
    return cls


def test_of_many_refusals_the_first_are_recorded_in_full_and_the_others_marked(harness):
    """The mark is set before anyone records, and the number is told in the next window."""
    book = recorder()
    loaded = [harness.load(cls) for cls in (make("shut", limit=refuses()), Check, book)]
    caller = harness.app(loaded, [views()]).test_client()
    for _ in range(25):
        assert caller.get("/guarded").status_code == 403
    assert [counted for _, counted, _ in book.seen] == [False] * 20 + [True] * 5
    harness.clock.advance(60)
    caller.get("/guarded")
    emitted, after = book.seen[25:]
    assert (emitted.name, emitted.facts["count"], emitted.client) == ("refusals_counted", 5, "c")
    assert after == (403, False, [])


def test_an_answer_is_never_only_counted(harness):
    book = recorder()
    loaded = [harness.load(cls) for cls in (Check, book)]
    caller = harness.app(loaded, [views()]).test_client()
    for _ in range(50):
        assert caller.get("/guarded").status_code == 200
    assert not any(counted for _, counted, _ in book.seen)


def test_a_record_that_fails_makes_one_refusal_and_not_two(harness):
    """What a vital recorder withholds is weighed once, however often it is dressed."""
    vital = make("vital", record=breaks)
    vital.vital = True
    book = recorder()
    loaded = [harness.load(cls) for cls in (Check, vital, book)]
    caller = harness.app(loaded, [views()]).test_client()
    for _ in range(30):
        assert caller.get("/guarded").status_code == 503
    assert [counted for _, counted, _ in book.seen] == [False] * 20 + [True] * 10
    harness.clock.advance(60)
    caller.get("/guarded")
    (emitted,) = [each for each in book.seen if not isinstance(each, tuple)]
    assert emitted.facts.items() >= {"count": 10, "status": 503, "code": "not_recorded"}.items()


def test_who_is_counted_cannot_be_told_while_the_vital_ear_is_deaf_and_is_told_after(harness):
    """The number waits; the requests go on."""

    def on_event(self, event):
        if self.deaf:
            raise OSError("no space left")
        self.seen.append(event)

    book = recorder(on_event=on_event)
    book.vital, book.deaf = True, True
    loaded = [harness.load(cls) for cls in (make("shut", limit=refuses()), Check, book)]
    caller = harness.app(loaded, [views()]).test_client()
    for window in range(3):
        for _ in range(25):
            assert caller.get("/guarded").status_code == 403
        harness.clock.advance(60)
        book.deaf = window < 1
    caller.get("/guarded")
    emitted = [each for each in book.seen if not isinstance(each, tuple)]
    assert sum(event.facts["count"] for event in emitted) == 15


# -- what a plugin returns ------------------------------------------------------------------------


def waits(exchange, *more):
    """Return a coroutine from a plain function: no check at the start can see that."""
    return asyncio.sleep(0)


@pytest.mark.parametrize("phase", ["admit", "identify", "authorize", "limit", "validate"])
@pytest.mark.parametrize("found", [False, True, "no", {}, waits])
def test_a_phase_that_returns_instead_of_raising_refuses(harness, phase, found, caplog):
    """Attack: the author believes that False refuses, and a coroutine runs. Closed, and named."""
    seen = []

    def step(plugin, exchange):
        return found(exchange) if callable(found) else found

    book = make("book", record=lambda plugin, exchange: seen.append(exchange.refusal))
    client = client_of(harness, make("ward", **{phase: step}), Check, book)
    with caplog.at_level(logging.ERROR, "secureml"):
        answer = client.get("/guarded")

    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    kind = type(found).__name__ if not callable(found) else "coroutine"
    assert [(r.plugin, r.phase, r.problem.reason) for r in seen] == [
        ("ward", phase, f"ward.{phase}_returned:{kind}")
    ]
    assert f"at {phase} by ward" in caplog.text


@pytest.mark.parametrize(
    ("vital", "phase", "status"),
    [(False, "respond", 500), (True, "record", 503), (False, "record", 200)],
)
def test_on_the_way_out_too(harness, vital, phase, status, caplog):
    """What dressed or wrote nothing is as one that failed."""
    step = make("ward", vital=vital, **{phase: waits})
    with caplog.at_level(logging.ERROR, "secureml"):
        assert client_of(harness, Check, step).get("/guarded").status_code == status
    assert f"ward failed at {phase}" in caplog.text


def test_a_principal_of_the_wrong_kinds_is_nobody(harness):
    """In a text given for a set, each part of a word would be found."""

    def names(plugin, exchange):
        return Principal("c", "c", "read", frozenset({"*"}), "", "phase", "")

    answer = client_of(harness, make("phase", identify=names, authorize=allows)).get("/guarded")

    assert answer.status_code == 500


# -- what would end the process -------------------------------------------------------------------

ENDS = [SystemExit(3), GeneratorExit(), type("Own", (BaseException,), {})()]


def ends(error):
    """Return a step that would end the worker."""

    def end(plugin, exchange, *more):
        raise error

    return end


@pytest.mark.parametrize("error", ENDS, ids=repr)
@pytest.mark.parametrize("phase", ["admit", "identify", "authorize", "limit", "validate"])
def test_a_plugin_that_would_end_the_process_refuses(harness, phase, error, caplog):
    """With exit code 3 Gunicorn ends the whole server."""
    seen = []
    book = make("book", record=lambda plugin, exchange: seen.append(exchange.refusal))
    client = client_of(harness, make("ward", **{phase: ends(error)}), Check, book)
    with caplog.at_level(logging.ERROR, "secureml"):
        answer = client.get("/guarded")

    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert seen[0].problem.reason == f"unexpected.{type(error).__name__}"
    assert f"at {phase} by ward" in caplog.text


@pytest.mark.parametrize(
    ("vital", "phase", "status"),
    [(False, "respond", 500), (True, "record", 503), (False, "record", 200)],
)
def test_on_the_way_out_it_may_not_end_the_process_either(harness, vital, phase, status, caplog):
    step = make("ward", vital=vital, **{phase: ends(SystemExit(0))})
    with caplog.at_level(logging.ERROR, "secureml"):
        assert client_of(harness, Check, step).get("/guarded").status_code == status
    assert f"ward failed at {phase}" in caplog.text


def test_a_view_a_wording_and_a_renderer_may_not_either(harness):
    """Whatever of a plugin runs within a request."""
    blueprint = Blueprint("ending", __name__)

    @blueprint.get("/ending")
    @public()
    def ending():
        raise SystemExit(3)

    @blueprint.post("/worded")
    @public(form=True, body_limit=1, wording=lambda *_: ends(SystemExit(3))(None, None))
    def worded():
        return {}

    @blueprint.before_request
    def hook():
        if g.exchange.request.args.get("hook"):
            raise SystemExit(3)

    words = make("words", render=lambda *_: ends(SystemExit(3))(None, None))
    client = harness.app([harness.load(Check), harness.load(words)], [blueprint]).test_client()

    for answer, status in (
        (client.get("/ending"), 500),
        (client.get("/ending?hook=1"), 500),
        (client.post("/worded", data={"a": "bc"}), 413),
        (client.get("/nowhere"), 404),
    ):
        assert (answer.status_code, sorted(answer.json)) == (status, ["code", "id"])


@pytest.mark.parametrize("words", [lambda *_: waits(None), lambda *_: ("only one",), lambda *_: 5])
def test_a_wording_or_renderer_that_returns_something_else_leaves_the_bare_words(harness, words):
    """An error about an error is still an answer."""
    blueprint = Blueprint("worded", __name__)

    @blueprint.post("/worded")
    @public(form=True, body_limit=1, wording=words)
    def worded():
        return {}

    for render in (lambda *_: {"found": {1, 2}}, lambda *_: waits(None)):
        renderer = make("words", render=render)
        app = harness.app([harness.load(Check), harness.load(renderer)], [blueprint])
        answer = app.test_client().post("/worded", data={"a": "bc"})
        assert (answer.status_code, sorted(answer.json)) == (413, ["code", "id"])


# -- observing ------------------------------------------------------------------------------------

FULL = Result([1], [[0.25, 0.75]], (0, 1))


def shaped(harness, step, *, observe=True):
    """Let one plugin shape a result; return what comes out and the exchange."""
    cls = make("ward", shape=step, problems=(Kind("ward.held", 403, "Held"),))
    loaded = harness.load(cls, {"mode": "observe"} if observe else None)
    refusals = Refusals(lambda event: None, harness.clock, RecordingPolicy(20))
    pipeline = Pipeline([loaded], Catalogue(cls.problems), refusals=refusals)
    exchange = harness.exchange()
    return pipeline.shape(exchange, detached(FULL)), exchange


def in_place(plugin, exchange, result):
    """Coarsen without making another result."""
    result.probabilities[0][:] = [0.0, 1.0]
    return result


@pytest.mark.parametrize(
    "step", [lambda plugin, exchange, result: Result(result.predictions), in_place]
)
def test_who_only_observes_at_shape_changes_no_result_and_says_so(harness, step, caplog):
    """Also where the result is changed in place."""
    with caplog.at_level(logging.WARNING, "secureml"):
        found, exchange = shaped(harness, step)

    assert found == FULL
    assert [(e.name, dict(e.facts)) for e in exchange.events] == [
        ("result_change_observed", {"plugin": "ward"})
    ]
    assert "ward would change the answer" in caplog.text
    assert shaped(harness, step, observe=False)[0] != FULL


def test_who_only_observes_at_shape_refuses_nothing_and_is_noted(harness):
    """As in every other phase."""
    found, exchange = shaped(harness, refuses("ward.held"))

    assert found == FULL
    assert [(seen.phase, seen.plugin, seen.problem.code) for seen in exchange.observed] == [
        (Phase.SHAPE, "ward", "ward.held")
    ]
    assert not exchange.refusal
    with pytest.raises(Problem):
        shaped(harness, refuses("ward.held"), observe=False)


@pytest.mark.parametrize("step", [breaks, waits, lambda *_: None, ends(SystemExit(3))])
def test_who_only_observes_at_shape_may_break(harness, step, caplog):
    """And the answer goes out as it was; enforced, it is withheld."""
    with caplog.at_level(logging.ERROR, "secureml"):
        found, exchange = shaped(harness, step)

    assert (found, exchange.events) == (FULL, [])
    assert "observed: ward at shape failed" in caplog.text
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        shaped(harness, step, observe=False)


def test_who_observes_is_asked_with_a_result_of_its_own_and_is_told(harness):
    """`observing` holds while it runs, and no longer."""
    seen = []

    def look(plugin, exchange, result):
        seen.append(exchange.observing)
        return result

    _, exchange = shaped(harness, look)
    assert (seen, exchange.observing) == ([True], False)


def test_who_only_observes_sets_no_header_and_withholds_nothing(harness):
    """Never a change to an answer, in no phase."""

    def dress(plugin, exchange, headers):
        headers["X-Ward"] = "1"

    def tears(plugin, exchange, headers):
        headers["X-Ward"] = "1"
        raise ValueError

    for step in (dress, tears):
        cls = make("ward", admit=allows, respond=step, record=breaks, vital=True)
        observed = client_of(harness, Check, cls, modes={"ward": {"mode": "observe"}})
        answer = observed.get("/guarded")
        assert (answer.status_code, "X-Ward" in answer.headers) == (200, False)


@pytest.mark.parametrize(
    ("given", "status"), [((403,), 403), ((429,), 429), ((Response("let in"),), 500)], ids=str
)
@pytest.mark.parametrize("phase", ["admit", "identify", "authorize", "limit", "validate"])
def test_a_plugin_that_aborts_as_flask_does_refuses_in_our_words(harness, phase, given, status):
    """Attack: Flask takes an exception that carries a response for the answer."""
    seen = []

    def step(plugin, exchange):
        abort(*given)

    book = make("book", record=lambda plugin, exchange: seen.append(exchange.refusal))
    answer = client_of(harness, make("ward", **{phase: step}), Check, book).get("/guarded")

    assert (answer.status_code, sorted(answer.json)) == (status, ["code", "id"])
    assert [(refusal.plugin, refusal.phase) for refusal in seen] == [("ward", phase)]


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "announced"])
def test_attack_an_observer_with_a_small_limit_cuts_off_the_body(harness, chunked):
    """The core finds it whole, and answers as if nobody had looked."""

    def look(plugin, exchange):
        exchange.read_body(20)

    body = b'{"instances":' + b" " * 20 + b"[[0.9]]}"
    seen = []

    def prepare(plugin, exchange):
        exchange.request.max_content_length = 1000
        seen.append(exchange.request.get_data(cache=False))

    ward = make("ward", admit=look)
    client = client_of(
        harness, Check, ward, make("core", validate=prepare), modes={"ward": {"mode": "observe"}}
    )
    given = {"data": body}
    if chunked:
        given = {
            "input_stream": io.BytesIO(body),
            "environ_overrides": {"wsgi.input_terminated": True},
        }
    client.post("/guarded", **given)
    client.get("/guarded", **given)
    assert body in seen
    assert all(found in (body, b"") for found in seen)


def test_attack_an_observer_writes_on_the_exchange_what_the_answer_is_made_of(harness):
    """It is taken back before the next phase, also where the observer then fails."""
    seen = []

    def writes(plugin, exchange):
        exchange.allow_origin("https://evil.example")
        exchange.policy = exchange.principal = None
        exchange.payload = {"instances": []}
        raise ValueError

    def looks(plugin, exchange):
        seen.append((exchange.policy, exchange.payload, exchange.allowed_origin))

    ward = make("ward", limit=writes)
    client = client_of(
        harness, Check, ward, make("next", validate=looks), modes={"ward": {"mode": "observe"}}
    )
    assert client.get("/guarded").status_code == 200
    assert seen[0][0] is not None
    assert seen[0][1:] == (None, "")
