"""The ``[plugins.rate_limit]`` table.

Too large to stand in the plugin's own file; it may import the application as that may.
"""

from __future__ import annotations

import re
from typing import Any

from marshmallow import Schema, ValidationError, validate
from marshmallow import fields as plain

from secureml import fields

from .allowance import read
from .counting import HANDLINGS, REFUSE
from .rules import FAILURES, REQUESTS, ROWS
from .windows import STRATEGIES

WHOM = re.compile(r"(address|everyone|client|tier)(?::([A-Za-z0-9][A-Za-z0-9:._-]{0,63}))?")
_NAME = r"[a-z][a-z0-9-]{0,31}\Z"
_PATH = re.compile(r"[^\0?#]{1,4000}")


class Allow(plain.Field[Any]):
    """A sentence such as ``1000 per minute``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return read(value if isinstance(value, str) else "")
        except ValueError as error:
            raise ValidationError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None


class NetworkText(plain.Field[str]):
    """A network such as ``10.0.0.0/8``, as it is written."""

    expects = fields.Cidr.expects

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return str(fields.Cidr().deserialize(value))


class Place(plain.Field[str]):
    """A path: inside the instance folder, or absolute, for instance on a tmpfs."""

    expects = "a path, relative to the instance folder or absolute, and without .. in it"
    default_is_example = True

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str) or not _PATH.fullmatch(value) or ".." in value.split("/"):
            raise ValidationError(
                "This must be a path, relative to the instance folder or absolute."
            )
        return value


class Whom(plain.String):
    """Whom a limit is for, such as ``client`` or ``tier:gold``."""

    def refers(self, value: Any) -> list[tuple[str, str]]:
        """Return the client or tier that is named."""
        whom, _, who = value.partition(":") if isinstance(value, str) else ("", "", "")
        return [(whom, who)] if who and whom in ("client", "tier") else []


_FOR = Whom(
    required=True,
    validate=validate.Regexp(WHOM.pattern + r"\Z"),
    metadata={
        "description": "`address`, `client`, `tier:NAME` (each client of it), `client:NAME` "
        "or `everyone` (all together).",
        "example": "client",
    },
)


class LimitTable(Schema):
    """One limit; read it as a sentence: for a client allow 1000 per minute."""

    class Meta:
        """``for`` is a word of Python's, so it stands here."""

        include = {"for": _FOR}

    allow = Allow(
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
    when_store_fails = plain.String(
        load_default=REFUSE,
        validate=validate.OneOf(HANDLINGS),
        metadata={
            "description": "While counters cannot be read: `refuse` all, `degrade` to counting in "
            "each process its share, or `allow` all."
        },
    )
    name = plain.String(
        load_default="",
        validate=validate.Regexp(f"({_NAME[:-2]})?\\Z"),
        metadata={
            "description": "What clients read in `RateLimit`; empty for one made of the rest."
        },
    )


class CostTable(Schema):
    """What a request or row of one model weighs in every limit."""

    model = fields.ModelName(
        required=True,
        validate=validate.Length(1, 63),
        metadata={"description": "The model.", "example": "big-forest"},
    )
    weighs = fields.StrictInteger(
        required=True,
        validate=validate.Range(1, 1_000_000),
        metadata={"description": "How many requests or rows it counts as.", "example": 5},
    )


class Config(Schema):
    """The ``[plugins.rate_limit]`` table."""

    limits = plain.List(
        plain.Nested(LimitTable),
        load_default=list,
        metadata={"description": "The limits, beside the defaults."},
    )
    defaults = plain.Boolean(
        load_default=True,
        truthy={True},
        falsy={False},
        metadata={
            "description": "Keep the defaults (300 failures a minute by address, 60000 requests a "
            "minute by client) that no limit with the same `for`, `unit`, `route` and `model` "
            "replaces."
        },
    )
    counters = Place(
        load_default="counters.db",
        metadata={
            "description": "The file of the counters; on a tmpfs if it is to spare the disk. "
            "Slots of `at once` are held beside it."
        },
    )
    budgets = Place(
        load_default="budgets.db",
        metadata={
            "description": "The file of what must outlive a restart: windows of a day or more. "
            "Not on a tmpfs."
        },
    )
    size = fields.ByteSize(
        load_default=64 * 1024 * 1024,
        validate=validate.Range(1024 * 1024, 16 * 1024**3),
        metadata={"description": "The most the file of the counters may grow to."},
    )
    redis = plain.String(
        load_default="",
        validate=validate.Regexp(r"((redis|rediss|valkey|valkeys)(\+unix)?://[^\s@]+)?\Z"),
        metadata={
            "description": "A URL such as `redis://10.0.0.5:6379/0` to count for several hosts; "
            "without a password."
        },
    )
    redis_password = fields.SecretRef(
        load_default=None, metadata={"description": "The password of that Redis."}
    )
    busy = plain.Float(
        load_default=0.25,
        validate=validate.Range(0.01, 5),
        metadata={"description": "Seconds a request may wait for the counters before they fail."},
    )
    degraded_share = fields.StrictInteger(
        load_default=8,
        validate=validate.Range(1, 10_000),
        metadata={
            "description": "What a limit is divided by where each process counts alone: at least "
            "the number of all workers."
        },
    )
    costs = plain.List(
        plain.Nested(CostTable),
        load_default=list,
        metadata={"description": "What a request or row of a model weighs; else 1."},
    )
    uncounted = plain.List(
        NetworkText(),
        load_default=lambda: ["127.0.0.1/32", "::1/128"],
        metadata={
            "description": "Networks whose addresses limits by address do not count, as in "
            "`nginx.conf`: this machine's own checks, or a tunnel that all come through."
        },
    )
    ban_after = fields.StrictInteger(
        load_default=100,
        validate=validate.Range(0, 1_000_000),
        metadata={
            "description": "Refusals a minute after which who goes on is banned; 0 for never."
        },
    )
    ban_first = fields.Duration(
        load_default=60.0,
        validate=validate.Range(1, 30 * 86400),
        metadata={"description": "The first ban; each that follows is twice as long."},
    )
    ban_longest = fields.Duration(
        load_default=3600.0,
        validate=validate.Range(1, 365 * 86400),
        metadata={"description": "The longest ban."},
    )
    ban_forget = fields.Duration(
        load_default=86400.0,
        validate=validate.Range(60, 365 * 86400),
        metadata={"description": "Quiet after which a ban is the first again."},
    )
