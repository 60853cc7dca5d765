"""For plugin authors: build one plugin, ask it one request, or run it in a real pipeline.

Everything here is the real thing in a folder of your own: a real store, real clients, the
real pipeline. Only the clock and the dice are yours.

    harness = Harness(tmp_path)
    ban = harness.build(Ban, {"addresses": ["192.0.2.7"]})
    ban.admit(harness.exchange("GET", "/healthz", address="192.0.2.7"))   # raises Problem

    client = harness.app([ban, ...]).test_client()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flask import Blueprint, Flask, Request
from werkzeug.test import EnvironBuilder

from secureml import api
from secureml.flask_app import SecureFlask
from secureml.model_choice import ModelChoice
from secureml.models.serving.registry import Registry
from secureml.pipeline import events, loader, policy
from secureml.pipeline.body import Limits
from secureml.pipeline.events import Event
from secureml.pipeline.exchange import Exchange
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.pipeline import Pipeline
from secureml.pipeline.plugin import Host, Plugin
from secureml.pipeline.plugin_class import check_class
from secureml.pipeline.policy import Policy
from secureml.pipeline.principal import Principal
from secureml.pipeline.problems import Catalogue
from secureml.pipeline.randomness import ProcessGenerator
from secureml.pipeline.refusal_log import RecordingPolicy, Refusals
from secureml.pipeline.routes import Routes
from secureml.state.clients import Clients
from secureml.state.signing import SigningKeys
from secureml.state.store import Store

START = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@dataclass
class Clock:
    """A clock that moves only on command; call it for seconds since the epoch."""

    seconds: float = START

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@dataclass
class Harness:
    """A folder, a clock, and everything the core hands a plugin.

    ``in_full`` refusals of one subject are written one by one in a minute, and then counted.
    """

    folder: Path
    clock: Clock = field(default_factory=Clock)
    in_full: int = 20
    seed: int = 0  # of what `Host.generator` draws, the same in each test

    def __post_init__(self) -> None:
        self.store = Store(f"sqlite:///{self.folder / 'secureml.db'}")
        self.clients = Clients(self.store, self.clock)
        self.signing = SigningKeys(self.store, self.folder / "keys" / "signing", self.clock)
        self.models = Registry(self.folder / "models")
        self.emitted: list[Event] = []  # events that plugins emitted
        self.readiness: list[Callable[[], str | None]] = []  # of the last app's plugins
        self.generator = ProcessGenerator(lambda: np.random.default_rng(self.seed))
        self._loaded: list[LoadedPlugin] = []

    def close(self) -> None:
        """End what its plugins have begun, as a worker does at its end, and close the store."""
        for loaded in self._loaded:
            if hasattr(loaded.plugin, "close"):
                loaded.plugin.close()
        self.store.close()

    def host(self, name: str) -> Host:
        """Return what the core would hand a plugin of that name."""
        return Host(
            name,
            self.folder,
            self.folder / name,
            "development",
            self.clock,
            self.store,
            self.clients,
            self.models,
            self.signing,
            self.emitted.append,
            list,
            lambda: events.reasons(self.readiness),
            self.generator,
        )

    def load(self, cls: type[Plugin], table: Mapping[str, Any] | None = None) -> LoadedPlugin:
        """Check shape and table as the start does, construct, and keep the mode."""
        check_class(cls)
        tables = {cls.name: dict(table)} if table else {}
        loaded = loader.build([cls], tables, self.host)[0]
        self._loaded.append(loaded)
        return loaded

    def build(self, cls: type[Plugin], table: Mapping[str, Any] | None = None) -> Any:
        """Return the plugin itself, for asking it directly."""
        return self.load(cls, table).plugin

    def exchange(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        address: str = "",
        policy: Policy | None = None,
        principal: Principal | None = None,
        **environ: Any,
    ) -> Exchange:
        """Return one request as a plugin sees it; ``environ`` goes to Werkzeug's builder."""
        request = Request(EnvironBuilder(path=path, method=method, **environ).get_environ())
        return Exchange(
            "0" * 32,
            request,
            self.clock(),
            0,
            policy=policy,
            principal=principal,
            known=True,
            client_address=address,
        )

    def app(
        self,
        plugins: Sequence[LoadedPlugin],
        blueprints: Sequence[Blueprint] = (),
        *,
        new_id: Callable[[], str] | None = None,
    ) -> Flask:
        """Return an app with these plugins in the real phases, around the core's own routes."""
        added = [kind for loaded in plugins for kind in loaded.plugin.problems]
        words: dict[str, Any] = {"new_id": new_id} if new_id else {}
        heard = [loaded.plugin for loaded in plugins]
        refusals = Refusals(
            lambda event: events.emit(heard, event), self.clock, RecordingPolicy(self.in_full)
        )
        pipeline = Pipeline(plugins, Catalogue(added), now=self.clock, refusals=refusals, **words)
        app = SecureFlask(pipeline, self.store.snapshot)
        self.readiness = events.readiness(item.plugin for item in plugins)
        offered = [item.plugin.blueprint() for item in plugins if hasattr(item.plugin, "blueprint")]
        choice = ModelChoice(self.models)
        for blueprint in (api.blueprint(self.models, self.readiness), *blueprints, *offered):
            app.register_blueprint(blueprint)
        prepare = api.RequestPreparation(self.models, Limits(), 1024 * 1024)
        pipeline.attach(app, Routes(policy.collect(app), prepare, choice))
        return app
