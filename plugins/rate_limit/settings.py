"""The ``[plugins.rate_limit]`` table.

It is too large for plugin.py, and may import the core as that may.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from marshmallow import Schema, ValidationError, validate
from marshmallow import fields as plain

from secureml.kit import fields

from .fallback import FAILURE_MODES, REFUSE
from .rules import FAILURES, REQUESTS, ROWS, parse_allowance
from .strategies import STRATEGIES

_TARGET = re.compile(r"(address|everyone|client|tier)(?::([A-Za-z0-9][A-Za-z0-9:._-]{0,63}))?")
_NAME = r"[a-z][a-z0-9-]{0,31}\Z"
_PATH = re.compile(r"[^\0?#]{1,4000}")


class AllowanceField(plain.Field[Any]):
    """A text such as ``1000 per minute``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return parse_allowance(value if isinstance(value, str) else "")
        except ValueError as error:
            raise ValidationError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None


class NetworkField(plain.Field[str]):
    """A network such as ``10.0.0.0/8``, as it is written."""

    expects = fields.Cidr.expects

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return str(fields.Cidr().deserialize(value))


class PathField(fields.AnyPath):
    """A path: inside the instance folder, or absolute, for instance on a tmpfs."""

    expects = "a path, relative to the instance folder or absolute, and without .. in it"
    default_is_example = True

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not _PATH.fullmatch(value) or ".." in value.split("/"):
            raise ValidationError(
                "This must be a path, relative to the instance folder or absolute."
            )
        return value


class TargetField(plain.String):
    """The target of a limit, such as ``client`` or ``tier:gold``."""

    def refers(self, value: Any) -> list[tuple[str, str]]:
        """Return the client or tier that is named."""
        target, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
        return [(target, name)] if name and target in ("client", "tier") else []


_FOR = TargetField(
    required=True,
    validate=validate.Regexp(_TARGET.pattern + r"\Z"),
    metadata={
        "description": (
            "`address`, `client`, `tier:NAME` (each client in it), "
            "`client:NAME` or `everyone` (all together)."
        ),
        "example": "client",
    },
)


class LimitTable(Schema):
    """One limit: for whom, how much of what, and on which route or model."""

    class Meta:
        """``for`` is a keyword of Python, so it is declared here."""

        include = {"for": _FOR}

    allow = AllowanceField(
        required=True,
        metadata={
            "description": "`1000 per minute`, `10 per 30 seconds`, `8 at once`, "
            "`50000 per calendar month` or `5000 ever`.",
            "example": "1000 per minute",
        },
    )
    unit = plain.String(
        load_default=REQUESTS,
        validate=validate.OneOf([REQUESTS, ROWS, FAILURES]),
        metadata={
            "description": "What is counted: `requests`, `rows` of instances, or `failures` "
            "(requests refused with 401, by address)."
        },
    )
    route = plain.String(
        load_default="",
        metadata={"description": "Only this route, as `secureml routes` shows it; empty for all."},
    )
    model = fields.ModelName(
        load_default="",
        validate=validate.Regexp(r"(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,62})?\Z"),
        metadata={
            "description": "Only this model; `*` for each model by itself; empty for all together."
        },
    )
    strategy = plain.String(
        load_default="",
        validate=validate.OneOf(["", *STRATEGIES]),
        metadata={
            "description": "`fixed-window`, `moving-window` or `sliding-window-counter`; empty "
            "for the last, or the first for windows of a day or more."
        },
    )
    on_storage_failure = plain.String(
        load_default=REFUSE,
        validate=validate.OneOf(FAILURE_MODES),
        metadata={
            "description": (
                "While the storage fails: `refuse` every request (fail "
                "closed), `degrade` to a share counted in each process, or "
                "`allow` every request (fail open)."
            )
        },
    )
    name = plain.String(
        load_default="",
        validate=validate.Regexp(f"({_NAME[:-2]})?\\Z"),
        metadata={
            "description": "The name in `RateLimit` headers and the log; empty for a generated one."
        },
    )


class CostTable(Schema):
    """What a request or row of one model costs in every limit."""

    model = fields.ModelName(
        required=True,
        validate=validate.Length(1, 63),
        metadata={"description": "The model.", "example": "big-forest"},
    )
    weight = fields.StrictInteger(
        required=True,
        validate=validate.Range(1, 1_000_000),
        metadata={"description": "How many requests or rows each one counts as.", "example": 5},
    )


class Config(Schema):
    """The ``[plugins.rate_limit]`` table."""

    limits = plain.List(
        plain.Nested(LimitTable),
        load_default=list,
        metadata={"description": "The limits, in addition to the defaults."},
    )
    defaults = fields.StrictBoolean(
        load_default=True,
        metadata={
            "description": "Keep the defaults (300 failures a minute by address, 60000 requests a "
            "minute by client) that no limit with the same `for`, `unit`, `route` and `model` "
            "replaces."
        },
    )
    counters = PathField(
        load_default="counters.db",
        writes=replace(
            fields.DATABASE, beside=(*fields.DATABASE.beside, ".concurrency", ".failures")
        ),
        metadata={
            "description": "The file of counters of windows shorter than a day; it may be on a "
            "tmpfs. The locks of `at once` are in a file beside it."
        },
    )
    budgets = PathField(
        load_default="budgets.db",
        writes=fields.DATABASE,
        metadata={
            "description": "The file of counters that must survive a restart: windows of a day or "
            "more. Not on a tmpfs."
        },
    )
    max_size = fields.ByteSize(
        load_default=64 * 1024 * 1024,
        validate=validate.Range(1024 * 1024, 16 * 1024**3),
        metadata={"description": "The maximum size of the file `counters`."},
    )
    redis = plain.String(
        load_default="",
        validate=validate.Regexp(r"((redis|rediss|valkey|valkeys)(\+unix)?://[^\s@]+)?\Z"),
        metadata={
            "description": "A URL such as `redis://10.0.0.5:6379/0`, without a password, to count "
            "over several hosts; empty for the files."
        },
    )
    redis_password = fields.SecretRef(
        load_default=None, metadata={"description": "The password of that Redis."}
    )
    storage_timeout = plain.Float(
        load_default=0.25,
        validate=validate.Range(0.01, 5),
        metadata={
            "description": "Seconds a request may wait for the storage before it counts as failed."
        },
    )
    degrade_divisor = fields.StrictInteger(
        load_default=8,
        validate=validate.Range(1, 10_000),
        metadata={
            "description": "What a limit is divided by while `degrade` counts in each process: at "
            "least the number of all workers."
        },
    )
    costs = plain.List(
        plain.Nested(CostTable),
        load_default=list,
        metadata={
            "description": "What a request or row of a model costs; 1 for models not listed."
        },
    )
    exempt_networks = plain.List(
        NetworkField(),
        load_default=lambda: ["127.0.0.1/32", "::1/128"],
        metadata={
            "description": (
                "Networks exempt from limits by address, as in `nginx.conf`: "
                "checks from this machine, or a tunnel that all clients share."
            )
        },
    )
    ban_after = fields.StrictInteger(
        load_default=100,
        validate=validate.Range(0, 1_000_000),
        metadata={
            "description": "Refusals in a minute after which a caller is banned; 0 for never."
        },
    )
    ban_initial = fields.Duration(
        load_default=60.0,
        validate=validate.Range(1, 30 * 86400),
        metadata={"description": "Duration of the first ban; each that follows is twice as long."},
    )
    ban_max = fields.Duration(
        load_default=3600.0,
        validate=validate.Range(1, 365 * 86400),
        metadata={"description": "Duration of the longest ban."},
    )
    ban_reset = fields.Duration(
        load_default=86400.0,
        validate=validate.Range(60, 365 * 86400),
        metadata={
            "description": ("Time without a ban after which the next one counts as the first.")
        },
    )
