"""What enabled plugins demand of one another; each demand that is not met stops the start."""

from __future__ import annotations

from collections.abc import Sequence

from secureml.config_error import ConfigError
from secureml.pipeline import builtin_plugins, proxy
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.phases import Phase
from secureml.pipeline.plugin import phases_of


def check(plugins: Sequence[LoadedPlugin]) -> None:
    """Refuse a set of plugins that would leave the model open or answer in two voices."""
    for phase in (Phase.IDENTIFY, Phase.AUTHORIZE):
        if not any(phase in phases_of(loaded.plugin) for loaded in plugins):
            raise ConfigError(
                f"no plugin runs in {phase.name}",
                table="secureml",
                key="plugins",
                fix=f"add one that does: {_running_in(phase)}",
            )
    renderers = [loaded.name for loaded in plugins if hasattr(loaded.plugin, "render")]
    if len(renderers) > 1:
        raise ConfigError(
            f"two plugins word refusals: {', '.join(renderers)}",
            table="secureml",
            key="plugins",
            fix="keep one of them",
        )
    _check_issuers(plugins)
    _check_connections(plugins)
    _check_guarded_headers(plugins)
    _check_order(plugins)
    proxy.required(plugins)


def _running_in(phase: Phase) -> str:
    return builtin_plugins.suited(lambda cls: phase in phases_of(cls))


def _check_order(plugins: Sequence[LoadedPlugin]) -> None:
    gone: list[str] = []
    for loaded in plugins:
        for other in loaded.plugin.runs_before:
            if other in gone:
                raise ConfigError(
                    f"{loaded.name} comes after {other}, which takes away what it must see",
                    table="secureml",
                    key="plugins",
                    fix=f"name {loaded.name} before {other}",
                )
        gone.append(loaded.name)
    for phase in Phase:
        _check_ends(phase, [each for each in plugins if phase in phases_of(each.plugin)])


def _check_ends(phase: Phase, in_phase: Sequence[LoadedPlugin]) -> None:
    """Refuse a phase in which a plugin that must be the first or the last is in the middle."""
    for number, loaded in enumerate(in_phase):
        if phase.value in loaded.plugin.first_at and number > 0:
            raise ConfigError(
                f"{in_phase[0].name} comes before {loaded.name} at {phase.name}, and so cannot see "
                f"what {loaded.name} finds out",
                table="secureml",
                key="plugins",
                fix=f"name {loaded.name} before {in_phase[0].name}",
            )
        if phase.value in loaded.plugin.last_at and number < len(in_phase) - 1:
            raise ConfigError(
                f"{in_phase[-1].name} comes after {loaded.name} at {phase.name}, and would never "
                "be asked",
                table="secureml",
                key="plugins",
                fix=f"name {loaded.name} after {in_phase[-1].name}",
            )


def _check_guarded_headers(plugins: Sequence[LoadedPlugin]) -> None:
    """Refuse a guard that looks for credentials in other headers than those they come in."""
    for guard in plugins:
        watched = {header.lower() for header in guard.plugin.guards_headers}
        for loaded in plugins:
            credential_header = loaded.plugin.credential_header
            if watched and credential_header and credential_header.lower() not in watched:
                raise ConfigError(
                    f"{loaded.name} reads credentials from {credential_header}, where {guard.name} "
                    "does not look",
                    table=f"plugins.{guard.name}",
                    key="headers",
                    fix=f"add {credential_header!r}",
                )


def _check_issuers(plugins: Sequence[LoadedPlugin]) -> None:
    owners: dict[str, str] = {}
    for loaded in plugins:
        for issuer in loaded.plugin.issuers:
            other = owners.setdefault(issuer, loaded.name)
            if other != loaded.name:
                raise ConfigError(
                    f"{other} and {loaded.name} both accept tokens of {issuer}",
                    table=f"plugins.{loaded.name}",
                    key="issuer",
                    fix="give each an issuer of its own, such as another path of one address",
                )


def _check_connections(plugins: Sequence[LoadedPlugin]) -> None:
    """Refuse a plugin that believes the edge where nobody can tell it, or before a header."""
    for loaded in filter(_reads_connections, plugins):
        if not any(other.plugin.verifies_proxy for other in plugins):
            raise ConfigError(
                f"{loaded.name} uses headers of the proxy, and no plugin verifies the proxy",
                table="secureml",
                key="plugins",
                fix=_verifying(plugins),
            )
    for loaded in plugins:
        if not loaded.plugin.identifies_by_connection:
            continue
        behind = plugins[plugins.index(loaded) + 1 :]
        late = [each.name for each in behind if each.plugin.credential_header]
        if late:
            raise ConfigError(
                f"{loaded.name} would name the caller before {late[0]} has read its credential",
                table="secureml",
                key="plugins",
                fix=f"name {loaded.name!r} after {late[-1]!r}",
            )


def _reads_connections(loaded: LoadedPlugin) -> bool:
    """Return whether a plugin reads what the proxy says of a connection's certificate."""
    required = loaded.plugin.proxy_requirements
    return loaded.plugin.identifies_by_connection or bool(required and required.client_authorities)


def _verifying(plugins: Sequence[LoadedPlugin]) -> str:
    """Return how to have the proxy verified: by a plugin that is enabled, or by one of ours."""
    here = [type(loaded.plugin) for loaded in plugins]
    for cls in (*here, *builtin_plugins.classes()):
        if keys := cls.proxy_verification_keys:
            what = "in" if cls in here else f"enable {cls.name!r}, and in"
            return f"{what} [plugins.{cls.name}] set {' and '.join(keys)}"
    return "enable a plugin that verifies it"


def credential_headers(plugins: Sequence[LoadedPlugin]) -> set[str]:
    """Return the headers that credentials travel in."""
    headers = (loaded.plugin.credential_header for loaded in plugins)
    return {header for header in headers if header}


def in_environ(header: str) -> str:
    """Return the name of a header in a WSGI environment."""
    return f"HTTP_{header.upper().replace('-', '_')}"
