"""The plugin as a server would hold it, asked without the server around it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from subjects import Subject

from plugins.theft_guard.plugin import TheftGuard
from secureml import Principal, Problem, public
from secureml.testing import Harness

FULL, ROUNDED, LABELS = "full", "rounded", "labels"


class Service:
    """One model behind the guard; ``fidelity`` is what a caller gets to see of an answer."""

    def __init__(self, target: Subject, folder: Path, fidelity: str = FULL, **table) -> None:
        self.target, self.fidelity, self.folder = target, fidelity, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.harness = Harness(folder)
        self.guard = self.harness.build(TheftGuard, {"actions": [], "max_clients": 8, **table})
        self.events: list = []  # of the last question, also where it was refused

    def close(self) -> None:
        self.guard.close()
        self.harness.store.close()
        shutil.rmtree(self.folder)

    def ask(self, rows: np.ndarray, client: str = "mallory", address: str = ""):
        """Return labels, what is seen of the probabilities, and the events; raises Problem."""
        exchange = self.prepare(rows, client, address)
        self.events = exchange.events
        self.guard.validate(exchange)
        result = self.guard.shape(exchange, self.target.handle.predict(exchange.read_rows()))
        return result.predictions, self._seen(result.probabilities), exchange.events

    def prepare(self, rows: np.ndarray, client: str = "mallory", address: str = ""):
        """Return the exchange as the core hands it to VALIDATE."""
        exchange = self.harness.exchange(
            "POST", principal=Principal(client, client, frozenset(), frozenset("*"), "", "", "")
        )
        exchange.client_address = address
        exchange.policy = _policy()
        exchange.model, exchange.payload = self.target.handle, {"instances": rows.tolist()}
        return exchange

    def _seen(self, shares):
        if shares is None or self.fidelity == LABELS:
            return None
        return np.round(shares, 2).tolist() if self.fidelity == ROUNDED else shares


def _policy():
    from secureml.api import PredictBody
    from secureml.pipeline.policy import policy_of

    return policy_of(public(body=PredictBody)(lambda: None))


class Case:
    """One attacker or customer asking until it is noticed, or until it has asked enough."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.rows: list = []
        self.labels: list = []
        self.shares: list = []
        self.fine = 0  # rows answered with probabilities
        self.refused = False
        self.noticed: int | None = None
        self.reasons = ""

    def run(self, questions, most: int, *, stop: bool = True) -> Case:
        """Ask at most so many rows of the generator ``questions``; stop when it is noticed."""
        try:
            rows = next(questions)
            while len(self.rows) < most:
                rows = rows[: most - len(self.rows)]
                labels, shares, events = self.service.ask(rows)
                self.rows += list(rows)
                self.labels += labels
                self.shares += shares or []
                self.fine += len(shares or [])
                flags = [e for e in events if e.name == "model_theft_flag" and e.client]
                mine = [e for e in flags if e.facts["subject"].startswith("client:")]
                if mine and self.noticed is None:
                    self.noticed, self.reasons = len(self.rows), str(mine[0].facts["reasons"])
                    if stop:
                        break
                rows = questions.send((labels, shares))
        except StopIteration:
            pass
        except Problem:
            self.refused = True
        return self

    @property
    def table(self) -> np.ndarray:
        return np.array(self.rows)
