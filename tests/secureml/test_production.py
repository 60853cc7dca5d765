"""Production demands each concern, refuses each risk, and waives either by its name alone."""

from __future__ import annotations

import pytest

from secureml import ConfigError, Plugin, production, settings
from secureml.core import build_core
from secureml.pipeline import builtin_plugins, loader
from secureml.pipeline.loader import LoadedPlugin
from secureml.production import CONCERNS, GUESSING

LEAST = '[secureml]\nplugins = ["api_keys", "scopes"]\n'
SAFE = [*CONCERNS, "api_keys", "scopes"]
RISKS = {*CONCERNS, GUESSING, "anonymous"}


@pytest.fixture
def write(tmp_path):
    """Write a settings file and read it."""

    def write_it(text):
        (tmp_path / settings.FILE).write_text(text, "utf-8")
        return settings.read(tmp_path)

    return write_it


def enabled(*names, observing=()):
    """Return what the loader makes of plugins, as far as it is looked at here."""
    return [LoadedPlugin(cls, cls.name in observing) for cls in loader.find(names)]


def without(*names):
    return [name for name in SAFE if name not in names]


DEMANDS = [
    *((without(concern), concern, "add") for concern in CONCERNS),
    ([*SAFE, "anonymous"], "anonymous", "remove"),
    ([*SAFE, "jwt"], GUESSING, "add"),
    ([*SAFE, "oauth2_server"], GUESSING, "add"),
]


@pytest.mark.parametrize(
    ("names", "risk", "verb"), DEMANDS, ids=[f"{names[-1]}-{risk}" for names, risk, _ in DEMANDS]
)
def test_production_refuses_each_risk_unless_it_is_waived_by_name(write, names, risk, verb):
    plugins = enabled(*names)
    with pytest.raises(ConfigError) as refused:
        production.check(write(LEAST), plugins)
    assert (refused.value.table, refused.value.key) == ("secureml", "plugins")
    both = f'{verb} {risk!r}, or waive it by name: accept_risk = ["{risk}"]'
    assert refused.value.fix == both
    production.check(write(f"{LEAST}accept_risk = ['{risk}']\n"), plugins)
    for other in RISKS - {risk}:
        with pytest.raises(ConfigError):
            production.check(write(f"{LEAST}accept_risk = ['{other}']\n"), plugins)


def test_all_that_is_missing_is_said_at_once(write):
    with pytest.raises(ConfigError) as refused:
        production.check(write(LEAST), enabled(*without("transport", "metrics"), "jwt"))
    for concern in ("transport", "metrics", GUESSING):
        assert f"{concern} is not enabled: " in refused.value.message
    assert refused.value.fix == (
        "add 'transport', 'metrics', 'brute_force', or waive each by its name: "
        'accept_risk = ["transport", "metrics", "brute_force"]'
    )
    waived = f"{LEAST}accept_risk = ['transport', 'metrics', '{GUESSING}']\n"
    production.check(write(waived), enabled(*without("transport", "metrics"), "jwt"))


def test_every_concern_of_the_mission_is_demanded():
    assert set(CONCERNS) == {
        "transport", "rate_limit", "input_rules", "output_rules", "model_integrity",
        "security_headers", "errors", "metrics", "access_log", "audit_log",
    }  # fmt: skip


def test_each_concern_has_a_built_in_plugin_and_each_plugin_a_known_concern():
    classes = loader.find(builtin_plugins.names())

    assert {cls.concern for cls in classes if cls.concern} == {*CONCERNS, GUESSING}
    assert [cls.name for cls in classes if cls.risk] == ["anonymous"]


def test_a_plugin_of_ones_own_takes_care_of_a_concern(write):
    own = type("Gate", (Plugin,), {"name": "acme_gate", "concern": "rate_limit"})
    plugins = [*enabled(*without("rate_limit")), LoadedPlugin(own, observe=False)]

    production.check(write(LEAST), plugins)


def test_a_plugin_of_ones_own_is_refused_for_its_risk(write):
    own = type("Demo", (Plugin,), {"name": "acme_demo", "risk": "answers everybody"})
    plugins = [*enabled(*SAFE), LoadedPlugin(own, observe=False)]

    with pytest.raises(ConfigError, match=r"acme_demo answers everybody.*remove 'acme_demo'"):
        production.check(write(LEAST), plugins)


@pytest.mark.parametrize("name", ["transport", "rate_limit", "input_rules"])
def test_a_guard_in_observe_mode_is_refused_unless_waived(write, name):
    plugins = enabled(*SAFE, observing={name})
    with pytest.raises(ConfigError, match="is in observe mode") as refused:
        production.check(write(LEAST), plugins)
    assert (refused.value.table, refused.value.key) == (f"plugins.{name}", "mode")
    assert refused.value.fix.endswith(f'accept_risk = ["observe:{name}"]')
    production.check(write(f"{LEAST}accept_risk = ['observe:{name}']\n"), plugins)
    # A waiver for want of it is none for a guard that is there and lets all pass.
    with pytest.raises(ConfigError, match="is in observe mode"):
        production.check(write(f"{LEAST}accept_risk = ['{name}']\n"), plugins)


def test_where_no_secret_can_be_tried_nothing_is_demanded_against_guessing(write):
    production.check(write(LEAST), enabled(*SAFE, "oauth2"))
    production.check(write(LEAST), enabled(*SAFE, "jwt", "brute_force"))


def test_every_set_may_run_in_development(write):
    found = write(f"{LEAST}profile = 'development'\n")
    production.check(found, enabled("anonymous", observing={"anonymous"}))


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("transprot", "did you mean 'transport'"),
        ("observe:", ""),
        ("observe:scopse", "did you mean 'observe:scopes'"),
        ("observe:audit_log", ""),
        ("observ:scopes", "did you mean 'observe:scopes'"),
        ("anonymous", ""),
        ("everything", ""),
    ],
)
@pytest.mark.parametrize("profile", ["development", "production"])
def test_a_waiver_of_nothing_is_refused(write, word, near, profile):
    found = write(f"{LEAST}profile = '{profile}'\naccept_risk = ['{word}']\n")
    with pytest.raises(ConfigError, match="is not a risk") as refused:
        production.check_waivers(found, loader.find(["api_keys", "scopes"]))
    assert near in refused.value.fix


def test_a_waiver_of_each_risk_and_of_each_enabled_guard_is_taken(write):
    waived = [*CONCERNS, GUESSING, "anonymous", "observe:scopes"]
    found = write(f"{LEAST}accept_risk = {waived}\n")
    production.check_waivers(found, loader.find(["anonymous", "scopes"]))


def test_the_start_refuses_with_the_file(fresh_instance):
    file = fresh_instance / settings.FILE
    text = file.read_text().replace('profile = "development"', 'profile = "production"')
    file.write_text(text.replace("[secureml]\n", "[secureml]\naccept_risk = ['nothing']\n", 1))
    with pytest.raises(ConfigError, match="'nothing' is not a risk") as refused:
        build_core(fresh_instance)
    assert refused.value.file == str(file)
