"""One request and its answer as the phases see them.

Facts that two plugins need are fields here, so that plugins need not know one another.
The pipeline writes; plugins read. The exceptions are methods: the peer, which a plugin at ADMIT
sets once (a second attempt is a fault of ours and fails the request), `allow_origin`, what is
written with `add_event` and `add_warning`, and `replace_rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from secureml.models.rows.refused import RowsRefused
from secureml.pipeline.early_body import EarlyBody
from secureml.pipeline.events import Event, Fact
from secureml.pipeline.principal import Principal
from secureml.pipeline.problems import MAX_FAULTS, Problem, invalid_input

if TYPE_CHECKING:
    import numpy as np
    from flask import Request

    from secureml.models.serving.handle import ModelHandle
    from secureml.models.serving.result import Result
    from secureml.pipeline.phases import Phase
    from secureml.pipeline.policy import Policy


@dataclass(frozen=True, slots=True)
class Refusal:
    """Where and why a plugin said no, or would have (``observed``)."""

    phase: Phase | None
    plugin: str
    problem: Problem


class InputWarning(NamedTuple):
    """Something a caller should know about an answer it got: where, which rule, and what was done.

    ``action`` is ``clipped`` (another value was asked about) or ``flagged`` (the very value was).
    """

    path: str
    rule: str
    action: str


# What becomes of a request, and so nothing for an observer to set.
_ANSWERED = (
    "policy", "route", "known", "allowed_origin", "principal", "model_name", "model_version",
    "model", "result",
    "refusal", "status", "warning_count", "counted", "_payload",
)  # fmt: skip


@dataclass(slots=True)
class Exchange:
    """What is known about one request; see the module docstring for who writes.

    ``id`` is ours (128 random bits, hex); ``foreign_id`` is the client's, cleaned.
    ``proxy_verified`` tells that the hop before us is the operator's own and has shown the edge
    token: what it says of the connection is then no claim of the client's.
    ``foreign_host`` tells that the Host header named none of our hosts: only a route that answers
    any host (`Policy.any_host`) is reached so.
    ``allowed_origin`` is the request's Origin where the operator lets pages of it read answers.
    ``started`` is seconds since the epoch, ``elapsed_ns`` set when the answer is ready;
    ``model_ns`` is how long the model took.
    ``timings`` holds (phase, plugin, nanoseconds), one entry per step taken.
    ``route`` is the rule as written in the app, "" for an unknown path: bounded, so it
    may label a metric, unlike the path.
    ``events`` are what happened beside the answer, written with `add_event`.
    ``warnings`` are for the caller beside a prediction, written with `add_warning`: at most
    twenty, of ``warning_count``.
    ``counted`` tells that this refusal is one of many of its subject: whoever keeps a line of
    each request leaves it out, for its number is told later as the event ``refusals_counted``.
    ``observing`` is true while a plugin runs that may change nothing: it is handed copies.
    ``state`` is where a plugin keeps what it needs in a later phase of this request, under its own
    name; nobody else reads it, and it goes with the exchange.
    ``model_name`` and ``model_version`` are what the path says, ``model`` the version that answers,
    chosen before AUTHORIZE; None where there is none.
    """

    id: str
    request: Request
    started: float
    started_ns: int
    policy: Policy | None = None
    route: str = ""
    known: bool = False
    client_address: str = ""
    scheme: str = ""
    host: str = ""
    foreign_id: str = ""
    proxy_verified: bool = False
    foreign_host: bool = False
    allowed_origin: str = ""
    principal: Principal | None = None
    model_name: str = ""
    model_version: str = ""
    model: ModelHandle | None = None
    row_count: int = 0
    result: Result | None = None
    refusal: Refusal | None = None
    observed: list[Refusal] = field(default_factory=list)
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    elapsed_ns: int = 0
    model_ns: int = 0
    timings: list[tuple[Phase, str, int]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    warnings: list[InputWarning] = field(default_factory=list)
    warning_count: int = 0
    observing: bool = False
    counted: bool = False
    state: dict[str, Any] = field(default_factory=dict)
    _news: list[Event] | None = None
    _weighed: bool = False
    _payload: dict[str, Any] | None = None
    _body: EarlyBody | None = None
    _rows: np.ndarray[Any, Any] | None = None
    _peer_is_set: bool = False

    def set_peer(
        self,
        *,
        address: str,
        scheme: str,
        host: str,
        foreign_id: str = "",
        proxy_verified: bool = False,
        foreign_host: bool = False,
    ) -> None:
        """Say who the client is, once and for all phases after this one."""
        if self._peer_is_set:
            raise RuntimeError("the peer is settled once; a second plugin tried")
        self.client_address, self.scheme, self.host = address, scheme, host
        self.foreign_id, self.proxy_verified = foreign_id, proxy_verified
        self.foreign_host = foreign_host
        self._peer_is_set = True

    def allow_origin(self, origin: str) -> None:
        """Let pages of this origin read the answer, whatever it will be."""
        self.allowed_origin = origin

    def read_body(self, limit: int) -> bytes:
        """Return the body as it was sent, for whoever must see it before VALIDATE.

        The limit is the caller's own: the next one, and the core at VALIDATE by the route's
        limit, find the body whole. Raises Problem("body_too_large") above ``limit`` bytes.
        """
        if self._body is None:
            self._body = EarlyBody(self.request.environ)
        announced = self.request.content_length
        # One byte more than is allowed: a beginning must not pass for the whole.
        if (announced or 0) > limit or len(body := self._body.beginning(limit + 1)) > limit:
            raise Problem("body_too_large", reason="payload.body_limit")
        return body

    @property
    def payload(self) -> dict[str, Any] | None:
        """The body as it was parsed and checked, None before VALIDATE; an observer gets a copy."""
        return deepcopy(self._payload) if self.observing else self._payload

    @payload.setter
    def payload(self, payload: dict[str, Any] | None) -> None:
        self._payload = payload

    def read_rows(self) -> np.ndarray[Any, Any]:
        """Return the instances as the model's own rows, read once; an observer gets a copy.

        Raises Problem("invalid_input") that names the path and rule of each fault.
        """
        if self._rows is None:
            if self.model is None or self._payload is None:
                raise RuntimeError("there are no rows before a model and a payload")
            try:
                self._rows = self.model.read(self._payload["instances"])
            except RowsRefused as refused:
                raise invalid_input(refused.faults, "payload.rows") from None
            self.row_count = len(self._rows)
        return self._rows.copy() if self.observing else self._rows

    def replace_rows(self, rows: np.ndarray[Any, Any]) -> None:
        """Have the model asked about these rows instead; each is still the row it was.

        The caller gets it with `add_warning`, always. A plugin that only observes changes nothing.
        """
        if self._rows is None or len(rows) != len(self._rows):
            raise RuntimeError("rows are amended one for one, after they were read")
        if not self.observing:
            self._rows = rows

    def add_warning(self, warnings: list[InputWarning], count: int) -> None:
        """Tell the caller beside the answer; ``count`` is of all there were."""
        if not self.observing:
            self.warnings += warnings[: MAX_FAULTS - len(self.warnings)]
            self.warning_count += count

    def add_event(self, name: str, client: str = "", **facts: Fact) -> None:
        """Say what happened here beside the answer, for all who record: see `Event`.

        Without a client it concerns the caller.
        """
        caller = self.principal.client if self.principal else ""
        self.events.append(Event(name, client or caller, facts))

    def undone(self) -> Callable[[], None]:
        """Return what takes back later changes that go into the answer; events and peer stay."""
        kept = [(word, getattr(self, word)) for word in _ANSWERED]
        warnings = self.warnings.copy()

        def undo() -> None:
            for word, value in kept:
                setattr(self, word, value)
            self.warnings = warnings

        return undo

    @property
    def public(self) -> bool:
        """Whether strangers may call the route."""
        return self.policy is not None and self.policy.public

    def weighed_once(self) -> bool:
        """Tell whether it was decided before how this refusal is written down; it is now."""
        before, self._weighed = self._weighed, True
        return before

    def count_only(self, news: list[Event]) -> None:
        """Have this refusal counted and not written down, but for those of its events."""
        self.counted, self._news = True, news

    @property
    def events_to_record(self) -> list[Event]:
        """What is to be written down of ``events``: all, or of a counted refusal what is new."""
        return self.events if self._news is None else self._news

    @property
    def problem(self) -> Problem | None:
        """The refusal the caller saw, if any."""
        return self.refusal.problem if self.refusal else None
