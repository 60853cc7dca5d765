"""Metrics: what the server does, in numbers for Prometheus.

Runs in RECORD, where each request is counted, refused ones too. It is not vital: an answer
is not withheld because it could not be counted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint
from marshmallow import Schema, ValidationError, validate
from marshmallow import fields as plain

from secureml import ConfigError, Event, Exchange, Host, Measure, Plugin
from secureml.kit import fields
from secureml.kit.instance_file import InstanceFile

from .certificate import validities
from .counts import Counts
from .exposition import VARIABLE, Exposition, Measured
from .listener import Listener, split
from .views import blueprint

log = logging.getLogger("secureml.plugins.metrics")


def _loopback(address: str) -> None:
    try:
        if address:
            split(address)
    except ValueError:
        raise ValidationError("This is not a loopback address such as 127.0.0.1:9464.") from None


class Config(Schema):
    """The ``[plugins.metrics]`` table."""

    listen = plain.String(
        load_default="",
        validate=_loopback,
        metadata={
            "description": (
                "Empty for the route `/metrics`, which requires the scope "
                "`metrics`; or a loopback address such as `127.0.0.1:9464`, "
                "to serve metrics only there and without credentials."
            )
        },
    )
    clients = fields.StrictInteger(
        load_default=0,
        validate=validate.Range(0, 10_000),
        metadata={
            "description": (
                "Number of clients with their own counts of requests and rows "
                "in each worker; the rest is counted as `other`; 0 for none."
            )
        },
    )
    phase_sample = fields.StrictInteger(
        load_default=8,
        validate=validate.Range(1, 10_000),
        metadata={
            "description": (
                "Measure the phases of one in this many requests; 1 means "
                "every request. Averages stay the same; the access log has "
                "the phases of every request."
            )
        },
    )
    certificates = plain.List(
        plain.String(validate=validate.Length(min=1)),
        load_default=["tls/server.crt"],
        metadata={
            "description": (
                "Certificates (PEM) whose expiry is shown; relative to the "
                "instance folder. A missing file is ignored."
            )
        },
    )


class Metrics(Plugin):
    """Counts each finished request, and tells whoever may look."""

    name = "metrics"
    concern = "metrics"
    schema = Config
    instance_files = (
        InstanceFile(
            "run/metrics",
            "counters of the workers",
            0o750,
            folder=True,
            backup=False,
            service_writes=True,
        ),
    )

    def __init__(self, config: Mapping[str, Any], host: Host) -> None:
        self._counts = Counts(config["clients"], config["phase_sample"])
        self._exposition = Exposition(self._counts.registry, Measured(host.measures))
        self._certificates: list[str] = config["certificates"]
        self._instance = host.instance
        self._listen: str = config["listen"]
        self._listener: Listener | None = None
        _demand_folder(host.instance)

    def record(self, exchange: Exchange) -> None:
        """Count what was asked and what became of it."""
        self._counts.request(exchange)

    def on_event(self, event: Event) -> None:
        """Count what happened outside a request."""
        self._counts.event(event.name)

    def start_worker(self, threads: int) -> None:
        """Say that this worker serves, and listen where the operator asks for it."""
        self._counts.worker(threads)
        if not self._listen:
            return
        self._listener = Listener(self._listen, self._exposition.text)
        try:
            self._listener.start()
        except OSError as error:
            # The model goes on answering: whoever scrapes sees that nothing does there.
            log.error("metrics: cannot listen on %s (%s)", self._listen, error.strerror)  # noqa: TRY400

    def close(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.close()

    def blueprint(self) -> Blueprint:
        """Return the route, or none where a socket of its own serves."""
        if self._listen:
            return Blueprint("metrics", __name__)
        return blueprint(self._exposition.text)

    def measures(self) -> list[Measure]:
        """Return from when until when the certificates hold."""
        found = []
        for file, begins, ends in validities(self._certificates, self._instance):
            for name, value, what in (
                ("certificate_not_before_timestamp_seconds", begins, "From when"),
                ("certificate_not_after_timestamp_seconds", ends, "Until when"),
            ):
                labels = {"file": file}
                found.append(Measure(name, value, f"{what} of a certificate's validity.", labels))
        return found


def _demand_folder(instance: Path) -> None:
    """Refuse to start where the workers could not count; a command counts nothing."""
    place = os.environ.get(VARIABLE)
    if not place:
        return
    folder = Path(place)
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        name = folder.relative_to(instance) if folder.is_relative_to(instance) else folder
        raise ConfigError(
            f"this process cannot write counters to {name}",
            fix=(
                "make the folder in the instance folder and make the user of the service its owner"
            ),
        )
