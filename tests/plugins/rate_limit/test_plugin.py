"""The plugin in its phases."""

from __future__ import annotations

import gc
import re

import pytest
from flask_limiter import Limiter

from plugins.rate_limit.enforcer import RequestState
from plugins.rate_limit.plugin import RateLimit
from plugins.rate_limit.strategies import STRATEGIES, HitResult
from secureml import ConfigError, Plugin, Policy, Problem, requires
from secureml.testing import Harness

HEALTH = Policy(None, health=True)
CLIENT_3 = {"for": "client", "allow": "3 per minute", "strategy": "fixed-window"}


def test_a_client_has_what_it_is_allowed_and_others_have_their_own(limited):
    one = limited(CLIENT_3)
    assert one.passed(5) == 3
    assert one.passed(5, client="other") == 3


@pytest.mark.parametrize("unit", ["requests", "rows"])
@pytest.mark.parametrize(
    ("allow", "strategy"),
    [
        *((f"9 per {time}", name) for time in ("minute", "day") for name in STRATEGIES),
        ("9 per calendar month", "fixed-window"),
        ("9 ever", "fixed-window"),
    ],
)
def test_nothing_but_the_limiter_of_a_flask_limiter_decides(
    limited, monkeypatch, allow, strategy, unit
):
    """Each limit is declared to one; what that says is done, whatever has been counted."""
    one = limited({"for": "client", "allow": allow, "unit": unit, "strategy": strategy})
    assert one.send(rows=1)[0] is None
    (rule,), registry = one.plugin.rules, one.plugin._registry
    limiter = registry.limiter(strategy, durable=rule.allowance.durable)
    assert isinstance(limiter, Limiter)
    declared = [str(each.limit) for each in limiter.limit_manager.application_limits]
    assert str(registry.items[rule]) in declared
    refused = HitResult(allowed=False, remaining=0, retry_after=7.0, reset_after=7.0)
    monkeypatch.setattr(limiter.limiter, "hit_with_stats", lambda *_, **__: refused)
    problem, headers = one.send(rows=1)
    assert (problem.code, headers["RateLimit"].count(";r=0")) == ("rate_limited", 1)


def test_retry_after_is_enough_and_a_second_less_is_not(limited):
    one = limited(CLIENT_3)
    one.passed(3)
    problem, _ = one.send()
    assert (problem.code, problem.reason) == ("rate_limited", "rate_limit.client")
    wait = int(problem.headers["Retry-After"])
    one.clock.advance(wait - 2)
    assert one.passed(1) == 0
    one.clock.advance(2)
    assert one.passed(1) == 1


def test_retry_after_is_long_enough_for_every_exhausted_limit(limited):
    """Not only for the first that refuses."""
    minute = {"for": "client", "allow": "2 per minute", "strategy": "fixed-window"}
    second = {"for": "client", "allow": "2 per second", "strategy": "fixed-window"}
    one = limited(minute, second)
    assert one.passed(2) == 2
    problem, headers = one.send()
    assert int(problem.headers["Retry-After"]) >= 60
    assert headers["RateLimit"].count(";r=0") == 2


def test_every_answer_has_the_rate_limit_headers(limited):
    one = limited(CLIENT_3)
    _, headers = one.send()
    assert headers["RateLimit-Policy"] == '"client";q=3;w=60'
    assert headers["RateLimit"] == '"client";r=2;t=60'
    one.passed(2)
    problem, headers = one.send()
    assert headers["RateLimit-Policy"] == '"client";q=3;w=60'
    seconds = re.search(r";t=(\d+)", headers["RateLimit"])[1]
    assert int(problem.headers["Retry-After"]) >= int(seconds)


def test_an_address_is_refused_before_its_credentials_are_checked(limited):
    one = limited({"for": "address", "allow": "2 per minute"})
    one.passed(2)
    with pytest.raises(Problem) as refused:
        one.plugin.admit(one.exchange(client=None))
    assert refused.value.code == "rate_limited"
    assert one.passed(1, address="192.0.2.2") == 1


def test_an_ipv6_subscriber_cannot_change_its_address_to_get_more(limited):
    one = limited({"for": "address", "allow": "2 per minute"})
    found = [one.passed(1, address=f"2001:db8::{n:x}") for n in range(1, 6)]
    assert sum(found) == 2


def test_this_machine_itself_is_not_counted_by_address(limited):
    assert limited({"for": "address", "allow": "1 per minute"}).passed(5, address="127.0.0.1") == 5


def test_failures_count_and_successes_do_not(limited):
    one = limited({"for": "address", "allow": "3 per minute", "unit": "failures"})
    assert one.passed(10) == 10
    for _ in range(3):
        assert one.send(status=401, client=None)[0] is None
    problem, _ = one.send()
    assert problem.code == "rate_limited"
    one.clock.advance(121)
    assert one.passed(1) == 1


def test_rows_are_what_is_counted_and_a_large_request_that_is_refused_takes_none(limited):
    one = limited({"for": "client", "allow": "100 per minute", "unit": "rows"})
    assert one.send(rows=60)[0] is None
    assert one.send(rows=60)[0].code == "rate_limited"
    _, headers = one.send(rows=40)
    assert headers["RateLimit-Policy"] == '"client-rows";q=100;w=60;secureml-unit="rows"'
    assert headers["RateLimit"].startswith('"client-rows";r=0')


def test_a_request_that_can_never_fit_gets_no_retry_after(limited):
    problem, _ = limited({"for": "client", "allow": "100 per minute", "unit": "rows"}).send(
        rows=101
    )
    assert (problem.code, problem.headers) == ("rate_limit.too_large", {})


def test_a_model_with_a_weight_costs_more(limited):
    one = limited(
        {"for": "client", "allow": "10 per minute"}, costs=[{"model": "big", "weight": 5}]
    )
    assert one.passed(5, model_name="big") == 2
    rows = limited(
        {"for": "client", "allow": "10 per minute", "unit": "rows"},
        costs=[{"model": "big", "weight": 5}],
    )
    assert rows.send(rows=2, model_name="big", client="rows")[0] is None
    assert rows.send(rows=1, model_name="big", client="rows")[0] is not None


def test_a_route_that_costs_more_says_so_in_its_policy(limited):
    one = limited({"for": "client", "allow": "10 per minute"})
    assert one.passed(5, policy=Policy("predict", cost=5)) == 2


def test_a_tier_has_its_own_and_a_named_client_its_own(limited):
    one = limited(
        CLIENT_3,
        {"for": "tier:gold", "allow": "5 per minute"},
        {"for": "client:vip", "allow": "7 per minute"},
    )
    assert one.passed(9) == 3
    assert one.passed(9, client="rich", tier="gold") == 5
    assert one.passed(9, client="vip", tier="gold") == 7


def test_everyone_together(limited):
    one = limited({"for": "everyone", "allow": "5 per minute"})
    assert sum(one.passed(2, client=f"c{n}") for n in range(5)) == 5


def test_a_route_by_itself(limited):
    one = limited(CLIENT_3 | {"route": "/v1/models"})
    assert one.passed(5, route="/other") == 5
    assert one.passed(5, route="/v1/models") == 3


def test_a_budget_outlives_the_process_and_never_comes_back(limited):
    table = {"for": "client", "allow": "5 ever"}
    assert limited(table).passed(4) == 4
    again = limited(table)
    assert again.passed(4) == 1
    again.clock.advance(365 * 86400)
    assert again.passed(1) == 0


def test_a_budget_of_the_month_comes_back_with_the_next(limited):
    one = limited(
        {"for": "client", "allow": "5 per calendar month"}
    )  # the clock stands at January 1
    assert one.passed(9) == 5
    problem, _ = one.send()
    assert int(problem.headers["Retry-After"]) == 31 * 86400 + 1
    one.clock.advance(31 * 86400 - 1)
    assert one.passed(1) == 0
    one.clock.advance(1)
    assert one.passed(9) == 5


def test_a_concurrency_limit_refuses_the_new_request(limited):
    one = limited({"for": "everyone", "allow": "2 at once"})
    first, second = one.exchange(), one.exchange(client="other")
    one.before_view(first)
    one.before_view(second)
    problem, _ = one.send(client="third")
    assert (problem.code, problem.headers) == ("rate_limit.busy", {"Retry-After": "1"})
    one.after_view(first)
    assert one.passed(5, client="third") == 5
    one.after_view(second)


def test_the_concurrency_limit_of_one_client_refuses_no_other(limited):
    one = limited({"for": "client", "allow": "1 at once"})
    mine = one.exchange()
    one.before_view(mine)
    assert one.send()[0].code == "rate_limited"
    assert one.passed(1, client="other") == 1
    one.after_view(mine)
    assert one.passed(1) == 1


def test_a_health_check_passes_a_full_concurrency_limit(limited):
    one = limited({"for": "everyone", "allow": "1 at once"})
    one.before_view(held := one.exchange())
    assert one.send(client=None, policy=HEALTH)[0] is None
    one.after_view(held)


PUBLIC = [
    pytest.param(Policy(None), id="a page"),
    pytest.param(Policy(None, form=True, body_limit=8192), id="a form"),
]


@pytest.mark.parametrize("policy", PUBLIC)
def test_a_public_route_is_not_exempt_from_concurrency(limited, policy):
    """Behind OAuth's forms stands a slow hash: who may call is no reason to work without end."""
    one = limited({"for": "everyone", "allow": "1 at once"})
    inside = one.exchange()
    one.before_view(inside)
    assert one.send(client=None, policy=policy)[0].code == "rate_limit.busy"
    one.after_view(inside)
    assert one.send(client=None, policy=policy)[0] is None


@pytest.mark.parametrize("policy", PUBLIC)
def test_a_ban_holds_on_public_routes_too(limited, policy):
    one = limited({"for": "address", "allow": "1 per hour"}, ban_after=2)
    one.passed(4)
    problem, _ = one.send(client=None, policy=policy)
    assert problem.code == "rate_limit.banned"
    assert one.send(client=None, policy=HEALTH)[0].code == "rate_limited", "counted, not banned"
    assert one.send(client=None, policy=policy, address="192.0.2.2")[0] is None


@pytest.mark.parametrize("policy", PUBLIC)
def test_a_public_route_is_refused_while_the_storage_fails(limited, policy):
    one = limited({"for": "address", "allow": "5 per minute"}, counters="gone/counters.db")
    assert one.send(client=None, policy=policy)[0].code == "unavailable"
    assert one.send(client=None, policy=HEALTH)[0] is None


def test_a_wrong_method_at_a_health_check_is_none(limited):
    one = limited({"for": "everyone", "allow": "1 at once"})
    one.before_view(one.exchange())
    assert one.send(client=None, policy=HEALTH, known=False)[0].code == "rate_limit.busy"
    assert one.send(client=None, policy=HEALTH)[0] is None


def test_each_ban_of_a_caller_who_goes_on_is_longer(limited):
    one = limited(CLIENT_3, ban_after=5)
    lengths = []
    for _ in range(3):
        while (problem := one.send()[0]) is None or problem.code != "rate_limit.banned":
            pass
        lengths.append(int(problem.headers["Retry-After"]) - 1)
        assert one.passed(1, client="other") <= 1, "nobody else is"
        one.clock.advance(lengths[-1] + 1)
    assert lengths == [60, 120, 240]


def test_the_refusal_that_brings_a_ban_has_its_retry_after(limited):
    one = limited(CLIENT_3, ban_after=2, ban_initial="10m")
    one.passed(3)
    waits = [int(one.send()[0].headers["Retry-After"]) for _ in range(3)]
    assert waits[:2] == [61, 61]
    assert waits[2] >= 600
    one.clock.advance(waits[2])
    assert one.passed(1) == 1


def test_a_ban_and_the_refusals_before_it_are_events(limited):
    one = limited(CLIENT_3, ban_after=1)
    one.passed(3)
    names = []
    for _ in range(2):
        exchange = one.exchange()
        with pytest.raises(Problem):
            one.before_view(exchange)
        names += [event.name for event in exchange.events]
        one.after_view(exchange, 429)
    assert names.count("excess_rate_limit_exceeded") == 2
    assert names.count("excess_rate_limit_banned") == 1


def test_ban_after_0_bans_nobody(limited):
    one = limited(CLIENT_3, ban_after=0)
    assert one.passed(50) == 3
    assert one.send()[0].code == "rate_limited"


def test_without_settings_the_default_limits_apply(tmp_path):
    plugin = Harness(tmp_path).build(RateLimit)
    assert {(rule.target, rule.unit) for rule in plugin.rules} == {
        ("address", "failures"),
        ("client", "requests"),
    }
    assert {rule.source for rule in plugin.rules} == {"default"}
    plugin.close()


def test_nothing_is_opened_before_the_first_request(tmp_path):
    harness = Harness(tmp_path)
    harness.build(RateLimit, {"limits": [CLIENT_3, {"for": "client", "allow": "5 ever"}]})
    assert [path.name for path in tmp_path.iterdir()] == []


class Names(Plugin):
    """Names everyone acme, and lets everyone do everything."""

    name = "names"

    def identify(self, exchange):
        from secureml import Principal

        return Principal("acme", "acme", frozenset({"go"}), frozenset("*"), "t", "names", "k")

    def authorize(self, exchange):
        """Agree."""


def app_of(tmp_path, table, mode="enforce"):
    from flask import Blueprint

    harness = Harness(tmp_path)
    views = Blueprint("views", __name__)
    views.get("/go", endpoint="go")(requires("go")(lambda: {"ok": True}))
    loaded = [harness.load(RateLimit, table | {"mode": mode}), harness.load(Names)]
    return harness, loaded[0].plugin, harness.app(loaded, [views])


def test_flask_limiter_knows_every_limit_and_runs_no_hook(tmp_path):
    table = {"limits": [CLIENT_3, {"for": "client", "allow": "9 ever"}]}
    _, plugin, app = app_of(tmp_path, table)
    hooks = [*app.before_request_funcs[None], *app.after_request_funcs[None]]
    assert len(hooks) == 6, "the pipeline's phases"
    assert not app.teardown_request_funcs
    declared = [
        limit for one in app.extensions["limiter"] for limit in one.limit_manager.application_limits
    ]
    assert sorted(str(limit.limit) for limit in declared) == [
        "100 per 1 minute", "3 per 1 minute", "300 per 1 minute", "9 per 100 year",
    ]  # fmt: skip
    assert app.test_client().get("/go").status_code == 200
    plugin.close()


def test_through_the_whole_pipeline_the_fourth_request_is_refused(tmp_path):
    _, plugin, app = app_of(tmp_path, {"limits": [CLIENT_3]})
    caller = app.test_client()
    answers = [caller.get("/go") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json["code"] == "rate_limited"
    assert answers[-1].headers["Retry-After"] == "61"
    assert answers[0].headers["RateLimit"] == '"client";r=2;t=60'
    plugin.close()


def test_in_observe_mode_nobody_is_refused(tmp_path):
    _, plugin, app = app_of(tmp_path, {"limits": [CLIENT_3]}, mode="observe")
    assert {app.test_client().get("/go").status_code for _ in range(8)} == {200}
    plugin.close()


def test_no_state_is_kept_after_a_request(tmp_path):
    _, plugin, app = app_of(tmp_path, {"limits": [CLIENT_3]})
    app.test_client().get("/go")
    gc.collect()
    kept = sum(isinstance(one, RequestState) for one in gc.get_objects())
    for path in ("/go", "/nowhere", "/healthz", "/go", "/go", "/go"):
        app.test_client().get(path)
    gc.collect()
    assert sum(isinstance(one, RequestState) for one in gc.get_objects()) == kept
    plugin.close()


@pytest.mark.parametrize(
    ("handling", "status", "ready"),
    [("refuse", 503, 503), ("allow", 200, 200), ("degrade", 200, 200)],
)
def test_a_failing_storage_is_handled_as_the_limit_says(tmp_path, handling, status, ready):
    """And it shows: in readiness where it refuses, in the measures always."""
    table = {"limits": [CLIENT_3 | {"on_storage_failure": handling}], "defaults": False,
             "counters": "gone/counters.db"}  # fmt: skip
    harness, plugin, app = app_of(tmp_path, table)
    caller = app.test_client()
    answer = caller.get("/go")
    assert answer.status_code == status
    if status == 503:
        assert (answer.json["code"], answer.headers["Retry-After"]) == ("unavailable", "1")
    found = caller.get("/readyz")
    assert found.status_code == ready
    assert found.json.get("reasons", []) == (["rate_limit_store"] if ready == 503 else [])
    failing = [m for m in plugin.measures() if m.name == "rate_limit_store_failing"]
    assert [(m.value, m.labels["handling"]) for m in failing] == [(1.0, handling)]
    assert caller.get("/healthz").status_code == 200
    (tmp_path / "gone").mkdir()
    assert plugin.ready() is None
    plugin.close()
    harness.store.close()


def test_health_checks_are_never_refused_by_a_failing_storage(
    tmp_path,
):
    table = {"limits": [{"for": "address", "allow": "5 per minute"}], "defaults": False,
             "counters": "gone/counters.db"}  # fmt: skip
    _, plugin, app = app_of(tmp_path, table)
    assert app.test_client().get("/healthz").status_code == 200
    plugin.close()


def test_one_file_for_both_counters_stops_the_start(tmp_path):
    with pytest.raises(ConfigError, match="both kept"):
        Harness(tmp_path).build(RateLimit, {"counters": "a.db", "budgets": "a.db"})
