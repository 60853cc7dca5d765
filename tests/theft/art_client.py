"""Runs in .venv/theft: attacks of adversarial-robustness-toolbox against a live server.

Reads one JSON object from standard input (url, certificate, key, rows, attack, limits), asks
over HTTPS, writes one JSON object: what was asked and answered, and the adversarial rows. Knows
nothing of SecureML but its API.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")

from art.attacks.evasion import BoundaryAttack, HopSkipJump, ZooAttack
from art.attacks.extraction import KnockoffNets
from art.estimators.classification import BlackBoxClassifier, SklearnClassifier
from sklearn.linear_model import LogisticRegression


class Spent(Exception):
    """The client has asked all that it was given to ask, or was refused."""


class Remote:
    """The model as its client sees it; every row and answer is kept."""

    def __init__(self, given: dict) -> None:
        self.path, self.key, self.most = given["path"], given["key"], given["most"]
        context = ssl.create_default_context(cafile=given["certificate"])
        self.connection = http.client.HTTPSConnection(
            "localhost", given["port"], context=context, timeout=30
        )
        self.classes = given["classes"]
        self.low, self.high = np.array(given["low"]), np.array(given["high"])
        self.whole = given["whole"]
        self.scale = np.array(given["scale"])
        self.rows: list = []
        self.labels: list = []
        self.refused: list = []

    def __call__(self, scaled: np.ndarray) -> np.ndarray:
        """Answer rows in deviations with probabilities, or with 0 and 1 where only labels come."""
        rows = np.clip(np.asarray(scaled, dtype=float) * self.scale, self.low, self.high)
        rows[:, self.whole] = np.round(rows[:, self.whole])
        return np.vstack([self._ask(rows[at : at + 100]) for at in range(0, len(rows), 100)])

    def _ask(self, rows: np.ndarray) -> np.ndarray:
        if len(self.rows) + len(rows) > self.most:
            raise Spent
        body = json.dumps({"instances": rows.tolist()})
        words = {"X-API-Key": self.key, "Content-Type": "application/json"}
        self.connection.request("POST", self.path, body, words)
        answer = self.connection.getresponse()
        emitted = json.loads(answer.read())
        if answer.status != 200:
            self.refused.append([len(self.rows), answer.status, emitted.get("code")])
            raise Spent
        self.rows += rows.tolist()
        self.labels += emitted["predictions"]
        if emitted.get("probabilities"):
            return np.array(emitted["probabilities"])
        return np.array(
            [[float(c == label) for c in self.classes] for label in emitted["predictions"]]
        )


def evade(remote: Remote, name: str, rows: np.ndarray, classifier) -> list:
    """Run one evasion attack target by target; return the rows it ended with."""
    made = {
        "HopSkipJump": lambda: HopSkipJump(
            classifier, max_iter=5, max_eval=100, init_eval=10, verbose=False
        ),
        "Boundary": lambda: BoundaryAttack(
            classifier, targeted=False, max_iter=100, init_size=50, verbose=False
        ),
        "ZOO": lambda: ZooAttack(
            classifier, max_iter=50, nb_parallel=5, use_resize=False, use_importance=False,
            variable_h=0.1, verbose=False,
        ),
    }[name]()  # fmt: skip
    done = []
    for row in rows:
        try:
            done.append(made.generate(row[None])[0].tolist())
        except Spent:
            break
    return done


class Thief(LogisticRegression):
    """A copy that does not mind what the toolbox says to neural networks."""

    __module__ = "sklearn.linear_model"  # the toolbox takes no other for scikit-learn's

    def fit(self, rows, answers, **_):
        return super().fit(rows, answers)


def extract(remote: Remote, name: str, pool: np.ndarray, classifier) -> None:
    """Run Knockoff Nets over a pool of rows; what it learned is judged by the caller."""
    thief = SklearnClassifier(Thief(max_iter=500))
    thief.model.fit(np.vstack([pool[:1]] * len(remote.classes)), np.arange(len(remote.classes)))
    attack = KnockoffNets(
        classifier, batch_size_fit=10, batch_size_query=10, nb_epochs=1, nb_stolen=len(pool),
        sampling_strategy="random", verbose=False,
    )  # fmt: skip
    attack.extract(pool, thieved_classifier=thief)


def main() -> None:
    """Run the attack that standard input names."""
    given = json.load(sys.stdin)
    np.random.seed(given["seed"])
    remote = Remote(given)
    rows = (np.array(given["rows"]) / remote.scale).astype(np.float32)
    bounds = (float((remote.low / remote.scale).min()), float((remote.high / remote.scale).max()))
    classifier = BlackBoxClassifier(remote, rows.shape[1:], len(remote.classes), clip_values=bounds)
    found: list = []
    error = ""
    try:
        if given["attack"] == "Knockoff":
            extract(remote, given["attack"], rows, classifier)
        else:
            found = evade(remote, given["attack"], rows, classifier)
    except Spent:
        pass
    except Exception as fault:  # noqa: BLE001 - the table says so, and the others go on
        error = f"{type(fault).__name__}: {fault}"
    json.dump(
        {
            "rows": remote.rows,
            "labels": remote.labels,
            "refused": remote.refused,
            "found": (np.array(found) * remote.scale).tolist() if found else [],
            "error": error,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
