"""What the start builds before there is a web app: settings, state, models and plugins.

Commands need no more than this. Nothing here opens a socket, thread or database handle: Gunicorn
loads the app once and forks, so everything that cannot cross a fork is opened on first use.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from secureml import (
    bind_check,
    body_memory,
    core_metrics,
    distinct_secrets,
    output_files,
    production,
    program_log,
    settings,
    store_location,
    trusted_paths,
)
from secureml import layout as instance_folder
from secureml.config_error import ConfigError
from secureml.model_serving import Serving, serve_live
from secureml.models.artifact.version_files import Artifact, ModelRefused
from secureml.models.card_section import CardSection
from secureml.models.serving.registry import Registry
from secureml.models.serving.trials import Stopped
from secureml.pipeline import builtin_plugins, events, file_claims, loader, plugin_set
from secureml.pipeline.events import Event, Measure
from secureml.pipeline.exit_signals import contained
from secureml.pipeline.loader import LoadedPlugin
from secureml.pipeline.plugin import Host, Plugin
from secureml.pipeline.plugin_errors import call_extra
from secureml.pipeline.randomness import renew_global_state
from secureml.pipeline.refusal_log import Refusals
from secureml.settings import SIGNING_FOLDER, Settings
from secureml.state.clients import Clients
from secureml.state.secrets import references
from secureml.state.signing import SigningKeys
from secureml.state.store import Store, StoreUnavailable
from secureml.trusted_paths import TrustedPaths

log = logging.getLogger("secureml")


@dataclass(frozen=True)
class Core:
    """What the start has built so far: settings, state, models and plugins, no web app yet."""

    settings: Settings
    store: Store
    clients: Clients
    signing: SigningKeys
    models: Registry
    plugins: Sequence[LoadedPlugin]
    refusals: Refusals
    serving: Serving

    def emit(self, event: Event) -> None:
        """Let every plugin that has ears know what happened; raises where a vital one cannot."""
        events.emit([loaded.plugin for loaded in self.plugins], event)

    def measures(self, now: float) -> list[Measure]:
        """Return what the core and every plugin measure at ``now``, seconds since the epoch."""
        own = core_metrics.measures(self, now)
        return own + events.measures([loaded.plugin for loaded in self.plugins])

    def readiness(self) -> list[Callable[[], str | None]]:
        """Return what asks each part for a word that says why it cannot work now."""
        return [
            self._store_answers,
            lambda: None if self.models.names() else "no_model",
            *events.readiness(loaded.plugin for loaded in self.plugins),
        ]

    def _store_answers(self) -> str | None:
        try:
            self.store.version("clients")
        except StoreUnavailable:
            return "store_unavailable"
        return None

    def start_worker(self, threads: int) -> None:
        """Let every plugin that wants to know begin work in this worker process."""
        renew_global_state()
        self.refusals.start()
        self.store.trouble.serving = True
        for loaded in self.plugins:
            if hasattr(loaded.plugin, "start_worker"):
                # Gunicorn says it and ends: a control that could not begin is not done without.
                call_extra(loaded.plugin, "start_worker", threads)
        # Emitted here: a start opens nothing that a worker could not inherit.
        for name, refused in self.models.refused().items():
            self.tell_refused(name, refused)
        self.serving.updates.start()

    def tell_refused(self, name: str, refused: ModelRefused) -> None:
        """Let records know that the version in use of a model does not answer."""
        facts = {"model": name, "version": self.models.pointed(name) or "", "check": refused.check}
        self._try_to_emit(Event("model_refused", "", facts))

    def tell_stopped(self, stopped: Stopped) -> None:
        """Let records know that a trial was ended because it passed a limit."""
        trial = stopped.trial
        facts = {"model": stopped.model, "version": trial.version, "why": stopped.why}
        self._try_to_emit(Event("model_trial_stopped", "", facts))

    def _try_to_emit(self, event: Event) -> None:
        try:
            self.emit(event)
        except Exception:
            log.exception("%s could not record an event", event.name)

    def rest(self) -> None:
        """Tell what this worker process has only counted so far: it ends."""
        self.serving.updates.stop()
        self.refusals.stop()

    def close(self) -> None:
        """End what the application has begun: threads, files, the store; none keeps the others.

        For the end of a worker, and for a program that drops an application it has made and used.
        What is used after it is opened again.
        """
        try:
            self.rest()
        except Exception:
            log.exception("the counts of refusals could not be recorded")
        for loaded in self.plugins:
            if hasattr(loaded.plugin, "close"):
                try:
                    loaded.plugin.close()
                except Exception:
                    log.exception("%s failed to close", loaded.name)
        self.store.close()


def build_core(instance: str | Path | None = None, *, now: Callable[[], float] = time.time) -> Core:
    """Read the settings and build state and plugins; commands need no more than this."""
    found = settings.read(settings.instance_folder(instance))
    program_log.configure(found.log_level)
    instance_folder.check_modes(found.instance)
    paths = TrustedPaths(trusted_paths.owners(found.instance))
    paths.check_instance(found.instance)
    body_memory.check(found)
    if (store_file := found.store_file) is not None:
        store_location.check(store_file, found.instance, found.file)
        paths.check_above(store_file)
    references.configure(found.instance, found.secrets)
    # `secureml init` alone makes a store; one that is missing is a fault everywhere else.
    store = Store(found.store_url, must_exist=True)
    clients = Clients(store, now)
    signing = SigningKeys(store, found.instance / SIGNING_FOLDER, now, found.signing)
    verifiers: list[Callable[..., None]] = []
    sections: dict[str, CardSection] = {}
    models = Registry(found.models_folder, verifiers, found.models_allow, sections)
    refusals = Refusals(lambda event: core.emit(event), now, found.recording)  # noqa: PLW0108 - there is no application yet
    serving = serve_live(models, store, now, lambda: core)
    core = Core(found, store, clients, signing, models, plugins := [], refusals, serving)
    store.trouble.tell = lambda lost, why: core.emit(
        Event("sys_store_lost" if lost else "sys_store_back", "", {"why": why})
    )
    try:
        classes = _plugin_classes(found, paths)
        sections |= builtin_plugins.card_sections_of(classes)
        plugins += _built(classes, core, now)
    except ConfigError as error:
        raise error.within(file=found.file) from None
    bind_check.check(found, plugins)
    output_files.check(found, plugins)
    distinct_secrets.check(core)
    verifiers += [
        _verifier_of(loaded) for loaded in plugins if hasattr(loaded.plugin, "verify_artifact")
    ]
    return core


def _built(
    classes: Sequence[type[Plugin]], core: Core, now: Callable[[], float]
) -> list[LoadedPlugin]:
    """Return the plugins, once it is known that they go together and suffice for the profile."""
    found = core.settings
    production.check_waivers(found, classes)
    plugins = loader.build(classes, found.plugin_tables, _host_factory(core, now))
    plugin_set.check(plugins)
    production.check(found, plugins)
    return plugins


def _plugin_classes(found: Settings, paths: TrustedPaths) -> list[type[Plugin]]:
    """Return the classes that settings name, once their code and what they own is safe."""
    classes = loader.find(found.plugins)
    paths.check_code(_folders_of(classes))
    instance_folder.check_modes(found.instance, file_claims.files(classes))
    return classes


def _folders_of(classes: Sequence[type]) -> list[Path]:
    """Return where the code of plugins lies."""
    files = [getattr(sys.modules[cls.__module__], "__file__", None) for cls in classes]
    return [Path(file).resolve().parent for file in files if file is not None]


def _verifier_of(loaded: LoadedPlugin) -> Callable[..., None]:
    def verify_artifact(artifact: Artifact) -> None:
        """Have the plugin look; raises ModelRefused for whatever it raises, or returns."""
        try:
            found = loaded.plugin.verify_artifact(artifact)  # type: ignore[attr-defined]
        except (ModelRefused, ConfigError):
            raise
        except BaseException as error:
            why = f"{loaded.name} failed to verify it: {contained(error)!r}"
            raise ModelRefused("signature", why, f"correct the plugin {loaded.name}") from error
        if found is not None:
            why = f"{loaded.name} returned {found!r}; it must raise ModelRefused or return None"
            raise ModelRefused("signature", why, f"correct the plugin {loaded.name}")

    return verify_artifact


def _host_factory(core: Core, now: Callable[[], float]) -> Callable[[str], Host]:
    def make_host(name: str) -> Host:
        instance = core.settings.instance
        return Host(
            name,
            instance,
            instance / name,
            core.settings.profile,
            now,
            core.store,
            core.clients,
            core.models,
            core.signing,
            core.emit,
            lambda: core.measures(now()),
            lambda: events.reasons(core.readiness()),
        )

    return make_host
