"""Secrets in AWS Secrets Manager: ``aws:SECRET_ID`` or ``aws:SECRET_ID#JSONKEY``.

Region and endpoint are said by the ``[secrets.aws]`` table; who we are is left to boto3's own
chain (role of the machine, web identity, variables), which is how AWS hands out identities.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import Any

from secureml.config_error import ConfigError
from secureml.state.secrets.bounded_body import SILENCE, BoundedBody, check_url
from secureml.state.secrets.value import Reading, Secret

TABLE = "secrets.aws"
# An ARN holds colons, a name may hold slashes; neither holds `#`.
_LOCATION = re.compile(r"([A-Za-z0-9/_+=.@:-]{1,2048})(?:#([^#]{1,256}))?")


@dataclass(frozen=True, slots=True)
class AwsOptions:
    """The checked ``[secrets.aws]`` table; ``endpoint_url`` is "" for the region's own."""

    region: str
    endpoint_url: str = ""


class Aws:
    """Reads from one region; the client is made on first use and holds no connection."""

    def __init__(self, options: AwsOptions) -> None:
        if options.endpoint_url:
            check_url(options.endpoint_url, TABLE, "endpoint_url")
        self._options = options
        self._made: Any = None

    def read(self, place: str) -> Reading:
        """Return the secret, or one text of the JSON object in it. Raises ConfigError."""
        match = _LOCATION.fullmatch(place)
        if match is None:
            raise ConfigError(
                "this is not a secret id of AWS", fix="write aws:SECRET_ID or aws:SECRET_ID#JSONKEY"
            )
        name, key = match.groups()
        answer = self._ask(name)
        value = answer.get("SecretString", answer.get("SecretBinary", b""))
        if key is not None:
            value = _inside(value, key)
        if not value:
            raise ConfigError("the secret at AWS is empty", fix="give it a value")
        return Reading(
            Secret(value.encode() if isinstance(value, str) else value),
            answer["CreatedDate"].timestamp() if "CreatedDate" in answer else None,
        )

    def _ask(self, name: str) -> Any:
        _library()
        from botocore.exceptions import ClientError

        try:
            if self._made is None:
                self._made = _client(self._options)
            return self._made.get_secret_value(SecretId=name)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            raise ConfigError(
                f"AWS refused the secret {name} ({re.sub(r'[^A-Za-z]', '', code)[:64]})",
                fix="check the name, the region and the permission secretsmanager:GetSecretValue",
            ) from None
        except Exception as error:  # noqa: BLE001 - its parser raises whatever an odd answer makes of it
            raise ConfigError(
                f"AWS cannot be reached ({type(error).__name__})",
                fix="check [secrets.aws], this machine's credentials and the network",
            ) from None


def _client(options: AwsOptions) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=SILENCE,
        read_timeout=SILENCE,
        retries={"total_max_attempts": 1},  # who calls us comes again, and keeps the last value
        ignore_configured_endpoint_urls=True,  # no other place by a variable of the environment
    )
    # Its debug lines hold whole answers, whatever level somebody gives the root logger.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    client = boto3.session.Session().client(
        "secretsmanager",
        region_name=options.region,
        endpoint_url=options.endpoint_url or None,
        config=config,
    )
    client.meta.events.register("before-send.secrets-manager.GetSecretValue", _send)
    return client


def _send(request: Any, **_: Any) -> Any:
    """Send in botocore's place: it reads answers of any length, and through any proxy."""
    from botocore.httpsession import URLLib3Session

    request.stream_output = True
    session = URLLib3Session(timeout=(SILENCE, SILENCE))
    try:
        response = session.send(request)
        response.raw = BoundedBody(response.raw)
        _ = response.content  # now, and not after the session has closed
    finally:
        session.close()
    return response


def _inside(text: Any, key: str) -> str:
    try:
        value = json.loads(text)[key]
    except (ValueError, TypeError, KeyError):
        value = None
    if not isinstance(value, str):
        raise ConfigError(
            f"the secret at AWS is not a JSON object with a text under {key!r}",
            fix="name one of its keys after #, or omit # for the whole value",
        )
    return value


def _library() -> None:
    try:
        import boto3  # noqa: F401 - whether it is there
    except ImportError:
        raise ConfigError(
            "aws: references need the library boto3", fix="script/extras aws"
        ) from None
