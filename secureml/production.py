"""What the production profile demands of the enabled plugins, and refuses.

A plugin says which concern it takes care of (`Plugin.concern`), why production should not run with
it (`Plugin.risk`), and whether callers can try secrets at its routes (`Plugin.accepts_secrets`).
Each demand is waived only by its name in ``accept_risk``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from secureml.config_error import ConfigError, did_you_mean
from secureml.pipeline import builtin_plugins
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.plugin import Plugin
from secureml.settings import Settings

# What is missing where no plugin takes care of it. Who callers are and what they may do is not
# here: no profile runs without.
CONCERNS = {
    "transport": "TLS, proxy and host name are not checked",
    "rate_limit": "nothing limits how much one caller may ask",
    "input_rules": "a model is asked whatever is sent",
    "output_rules": "nothing decides how much of an answer a caller may see",
    "model_integrity": "unsigned model files are loaded",
    "security_headers": "browsers and caches may keep and frame answers",
    "errors": "refusals have the core's minimal format",
    "metrics": "the server cannot be monitored",
    "access_log": "requests are not written down",
    "audit_log": "security events are not written down",
}
# Demanded only where callers can try secrets.
GUESSING = "brute_force"
# A guard in observe mode refuses nothing. It is waived with its name: `observe:NAME`.
OBSERVED = "observe:"


def check_waivers(settings: Settings, classes: Sequence[type[Plugin]]) -> None:
    """Refuse a waiver of nothing: it would be printed at every start as if it were one."""
    risks = [*CONCERNS, GUESSING, *(cls.name for cls in classes if cls.risk)]
    known = [*risks, *(f"{OBSERVED}{cls.name}" for cls in classes)]
    for word in sorted(settings.accept_risk):
        if word not in known:
            raise ConfigError(
                f"{word!r} is not a risk that production refuses here",
                table="secureml",
                key="accept_risk",
                fix=f"{did_you_mean(word, known)}remove it; the risks are {', '.join(risks)} and "
                f"{OBSERVED}PLUGIN for a plugin that is enabled",
            )


def check(settings: Settings, plugins: Sequence[LoadedPlugin]) -> None:
    """Refuse what production does not run without, and what it does not run with."""
    if not settings.production:
        return
    waived = settings.accept_risk
    taken = {loaded.plugin.concern for loaded in plugins} | waived
    missing = {what: why for what, why in _demanded(plugins) if what not in taken}
    if missing:
        raise _refused(
            missing,
            "; ".join(f"{concern} is not enabled: {why}" for concern, why in missing.items()),
            f"add {', '.join(map(_taking, missing))}",
        )
    for loaded in plugins:
        name, risk = loaded.name, loaded.plugin.risk
        if risk and name not in waived:
            raise _refused([name], f"{name} {risk}", f"remove {name!r}")
        if loaded.observe and f"{OBSERVED}{name}" not in waived:
            raise ConfigError(
                f"the production profile refuses: {name} is in observe mode and refuses nothing",
                table=f"plugins.{name}",
                key="mode",
                fix="remove the key, or waive it by name: [secureml] accept_risk = "
                f'["{OBSERVED}{name}"]',
            )


def _demanded(plugins: Sequence[LoadedPlugin]) -> Iterator[tuple[str, str]]:
    yield from CONCERNS.items()
    if any(loaded.plugin.accepts_secrets for loaded in plugins):
        yield GUESSING, "guessing of credentials is not slowed down"


def _taking(concern: str) -> str:
    """Return the built-in plugins that take care of a concern, as they are written in the list."""
    return builtin_plugins.suited(lambda cls: cls.concern == concern)


def _refused(risks: Iterable[str], what: str, cure: str) -> ConfigError:
    """Return one fault for all of a kind: an operator who adds one by one starts ten times."""
    names = [f'"{risk}"' for risk in risks]
    waive = "it by name" if len(names) == 1 else "each by its name"
    return ConfigError(
        f"the production profile refuses: {what}",
        table="secureml",
        key="plugins",
        fix=f"{cure}, or waive {waive}: accept_risk = [{', '.join(names)}]",
    )
