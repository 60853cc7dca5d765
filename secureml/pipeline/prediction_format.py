"""How a route carries rows and results where its protocol has a format of its own.

A route that has one passes every phase as the core's own does: the core reads the body and its
JSON strictly, the format finds the instances in it, and everything after that (rows, limits,
rules, the model, SHAPE, records) is the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from secureml.pipeline.exchange import Exchange


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What a format must keep where the core cannot see it: behind the JSON of a body.

    ``body`` is the most bytes that the whole may have, ``text`` the most of one text in it.
    """

    body: int
    text: int


class PredictionFormat(Protocol):
    """What turns a body into instances, and a result into an answer; safe for many threads.

    It refuses by raising `Problem`, and keeps what it needs for the answer in ``exchange.state``.
    ``media_types`` are those of the bodies it reads; "" is a request that names none.
    """

    @property
    def media_types(self) -> Collection[str]:
        """The media types of bodies, in small letters."""

    def json_length(self, exchange: Exchange, body: bytes) -> int:
        """Return how many bytes of the body are its JSON; the rest, if any, follows it.

        Asked first, when model and route are known and nothing of the body was read.
        """

    def instances(
        self, exchange: Exchange, envelope: dict[str, Any], rest: bytes, limits: BodyLimits
    ) -> list[Any]:
        """Return the instances, as the body of the core's own route has them.

        ``envelope`` is the JSON, which fits the schema of the route's policy.
        """

    def answer(self, exchange: Exchange) -> Any:
        """Return the answer to ``exchange.result`` as a view does: JSON data, or a response.

        The result has passed SHAPE. ``exchange.warnings`` are for the caller, always.
        """
