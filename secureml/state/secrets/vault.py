"""Secrets in HashiCorp Vault or OpenBao: ``vault:MOUNT/PATH#FIELD``, key-value version 2.

Everything is said by the ``[secrets.vault]`` table: hvac's own reading of VAULT_* variables,
of proxies and of a token in the home folder is turned off. Nothing stays open between two
readings, so a fork copies no connection.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from secureml.config_error import ConfigError
from secureml.state.secrets import local_sources
from secureml.state.secrets.bounded_body import SILENCE, BodyRefused, BoundedBody, check_url
from secureml.state.secrets.value import Reading, Secret

TABLE = "secrets.vault"
_LOCATION = re.compile(r"([\w.-]+)/([\w. -]+(?:/[\w. -]+)*)#([\w.-]+)", re.ASCII)
_EARLY = 0.8  # share of a login's lifetime after which we log in again


@dataclass(frozen=True, slots=True)
class VaultOptions:
    """The checked ``[secrets.vault]`` table; ``token``, ``role_id``, ``secret_id`` are references.

    ``ca_file`` is absolute, or "" for the certificates this machine trusts.
    """

    url: str
    auth: str = "token"
    token: str = ""
    role_id: str = ""
    secret_id: str = ""
    mount: str = "approle"
    namespace: str = ""
    ca_file: str = ""


class Vault:
    """Reads from one server, logging in as the table says."""

    def __init__(
        self, options: VaultOptions, base: Path, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        check_url(options.url, TABLE, "url")
        self._options, self._base, self._monotonic = options, base, monotonic
        self._login: tuple[Secret, float] | None = None

    def read(self, place: str) -> Reading:
        """Return the field as it is now. Raises ConfigError."""
        match = _LOCATION.fullmatch(place)
        if match is None or {".", ".."} & set(place.partition("#")[0].split("/")):
            raise ConfigError(
                "this is not a path in Vault", fix="write vault:MOUNT/PATH#FIELD, for KV version 2"
            )
        mount, path, field = match.groups()
        return _reading(self._ask(mount, path), field)

    def _ask(self, mount: str, path: str) -> Any:
        hvac = _library()

        try:
            return self._answer(hvac, mount, path)
        # A redirect would send our token to another server; it is not followed.
        except (OSError, BodyRefused, TypeError, KeyError) as error:
            raise _away(type(error).__name__) from None
        except (hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized):
            raise ConfigError(
                f"Vault denies reading {mount}/{path}",
                fix=f"allow reading {mount}/data/{path} in its policy, and check the login",
            ) from None
        except hvac.exceptions.InvalidPath:
            raise ConfigError(
                f"Vault has no secret at {mount}/{path}",
                fix=f"bao kv put -mount={mount} {path} FIELD=...",
            ) from None
        except hvac.exceptions.InvalidRequest:
            raise ConfigError(
                "Vault refused the request or the login",
                fix="check the mount (KV version 2), and role_id and secret_id",
            ) from None
        except hvac.exceptions.VaultError as error:
            raise _away(type(error).__name__) from None

    def _answer(self, hvac: Any, mount: str, path: str) -> Any:
        with _session(self._verify()) as session:
            remembered = self._login is not None
            client = self._client(hvac, session)
            kv = client.secrets.kv.v2
            words = {"path": path, "mount_point": mount, "raise_on_deleted_version": True}
            try:
                return kv.read_secret_version(**words)
            except hvac.exceptions.Forbidden:
                if not remembered:
                    raise
            # The login may have been revoked: log in again once, then accept the refusal.
            self._login = None
            self._client(hvac, session, client)
            return kv.read_secret_version(**words)

    def _client(self, hvac: Any, session: Any, client: Any = None) -> Any:
        options = self._options
        client = client or hvac.Client(
            url=options.url,
            token="",  # none yet; without this word hvac looks for one in the home folder
            cert=(),
            verify=self._verify(),
            timeout=(SILENCE, SILENCE),
            allow_redirects=False,
            session=session,
            namespace=options.namespace or None,
        )
        client.token = self._token(client)
        return client

    def _token(self, client: Any) -> str:
        if self._options.auth == "token":
            return self._local(self._options.token)
        now, login = self._monotonic(), self._login
        if login is None or now >= login[1]:
            answer = client.auth.approle.login(
                role_id=self._local(self._options.role_id),
                secret_id=self._local(self._options.secret_id),
                use_token=False,
                mount_point=self._options.mount,
            )["auth"]
            ends = now + _EARLY * answer["lease_duration"]
            login = self._login = (Secret(answer["client_token"].encode()), ends)
        return login[0].reveal().decode()

    def _local(self, reference: str) -> str:
        scheme, _, place = reference.partition(":")
        return local_sources.read(scheme, place, self._base).secret.reveal().decode("latin-1")

    def _verify(self) -> str | bool:
        return self._options.ca_file or True


def _session(verify: str | bool) -> Any:
    from requests import Session
    from requests.adapters import HTTPAdapter

    class Capped(HTTPAdapter):
        def send(self, request: Any, **words: Any) -> Any:  # type: ignore[override]  # handed on
            response = super().send(request, **(words | {"stream": True}))
            response.raw = BoundedBody(response.raw)
            return response

    session = Session()
    session.trust_env = False  # no proxy, netrc or bundle from the environment
    session.verify = verify  # hvac prefers the session's word to its own argument
    session.headers["Accept-Encoding"] = "identity"
    for scheme in ("https://", "http://"):
        session.mount(scheme, Capped())
    return session


def _reading(answer: Any, field: str) -> Reading:
    try:
        found = answer["data"]["data"]
        changed = datetime.fromisoformat(answer["data"]["metadata"]["created_time"]).timestamp()
    except (TypeError, KeyError, ValueError):
        raise _away("the answer is not that of KV version 2") from None
    value = found.get(field)
    if not isinstance(value, str) or not value:
        raise ConfigError(
            f"the secret in Vault has no field {field!r} with a text",
            fix="name one of its fields after #",
        )
    return Reading(Secret(value.encode()), changed)


def _away(what: str) -> ConfigError:
    return ConfigError(
        f"Vault cannot be read ({what})", fix="check [secrets.vault] url, ca_file and the server"
    )


def _library() -> Any:
    try:
        import hvac
    except ImportError:
        raise ConfigError(
            "vault: references need the library hvac, the extra vault",
            fix="script/extras vault",
        ) from None
    return hvac
