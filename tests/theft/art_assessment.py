"""Runs in .venv/theft: attacks of adversarial-robustness-toolbox on a model of the caller's.

Reads one JSON object from standard input. Rows that it asks are one line of JSON each on standard
output, and their answers one line on standard input; the last line is what it found. Knows nothing
of SecureML.
"""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np

warnings.simplefilter("ignore")

from art.attacks.evasion import HopSkipJump
from art.attacks.extraction import KnockoffNets
from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
from art.estimators.classification import BlackBoxClassifier, SklearnClassifier
from art.estimators.regression import BlackBoxRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score


def ask(rows: np.ndarray) -> np.ndarray:
    """Return what the model answers: probabilities, or amounts of the shape (rows, 1)."""
    print(json.dumps({"ask": np.asarray(rows, dtype=float).tolist()}), flush=True)
    return np.array(json.loads(sys.stdin.readline()))


def membership(given: dict) -> float:
    """Return the AUC of the black-box attack: fitted on half of the rows, tried on the other."""
    truth = {side: np.array(given[side]["truth"]) for side in ("members", "others")}
    said = {side: np.array(given[side]["answers"]) for side in ("members", "others")}
    width = (said["members"].shape[1],)
    regressor = given["kind"] == "regressor"
    if regressor:
        model = BlackBoxRegressor(ask, width, loss_fn=lambda y, p: np.abs(y - p.reshape(-1)))
    else:
        model = BlackBoxClassifier(ask, width, width[0])
    attack = MembershipInferenceBlackBox(
        model, input_type="loss" if regressor else "prediction", attack_model_type="rf"
    )
    attack.attack_model.set_params(min_samples_leaf=5, random_state=0)
    order = {side: np.random.permutation(len(truth[side])) for side in truth}
    parts = {side: (order[side][::2], order[side][1::2]) for side in truth}
    scores, is_member = [], []
    for fit, tried in ((0, 1), (1, 0)):
        one, two = parts["members"][fit], parts["others"][fit]
        size = min(len(one), len(two))  # the attack is told to expect as many of each
        one, two = one[:size], two[:size]
        attack.fit(
            x=None, y=truth["members"][one], pred=said["members"][one],
            test_x=None, test_y=truth["others"][two], test_pred=said["others"][two],
        )  # fmt: skip
        for side, kind in (("members", 1), ("others", 0)):
            rows = parts[side][tried]
            found = attack.infer(
                x=None, y=truth[side][rows], pred=said[side][rows], probabilities=True
            )
            scores.append(np.asarray(found).reshape(len(rows), -1)[:, -1])
            is_member.append(np.full(len(rows), kind))
    return float(roc_auc_score(np.concatenate(is_member), np.concatenate(scores)))


def evasion(given: dict) -> float:
    """Return the median distance to another answer, in deviations of the columns that may move."""
    scale, mask = np.array(given["scale"]), np.array(given["mask"], dtype=np.float32)
    low, high = np.array(given["low"]) / scale, np.array(given["high"]) / scale
    targets = (np.array(given["targets"]) / scale).astype(np.float32)
    model = BlackBoxClassifier(
        lambda rows: ask(rows * scale), targets.shape[1:], given["classes"],
        clip_values=(low.astype(np.float32), high.astype(np.float32)),
    )  # fmt: skip
    attack = HopSkipJump(
        model,
        max_iter=given["iterations"],
        max_eval=400,
        init_eval=30,
        init_size=100,
        verbose=False,
    )
    before = model.predict(targets).argmax(axis=1)
    # From real rows: its own beginnings are random, and no seed reaches them.
    starts = (np.array(given["starts"]) / scale).astype(np.float32)
    found = attack.generate(targets, x_adv_init=starts, mask=mask)
    moved = model.predict(found).argmax(axis=1) != before
    distance = np.linalg.norm((found - targets) * mask, axis=1)
    return float(np.median(np.where(moved, distance, np.inf)))


class Thief(LogisticRegression):
    """A copy that does not mind what the toolbox says to neural networks."""

    __module__ = "sklearn.linear_model"  # the toolbox takes no other for scikit-learn's

    def fit(self, rows, answers, **_):
        return super().fit(rows, answers)


def extraction(given: dict) -> float:
    """Return how well a copy by Knockoff Nets agrees on the rows of the judge.

    The toolbox has no such attack on regressors: there it is a linear copy of random rows.
    """
    pool, judge = np.array(given["pool"]), np.array(given["judge"])
    answers = np.array(given["pool_answers"])
    if given["kind"] == "regressor":
        chosen = np.random.permutation(len(pool))[: given["stolen"]]
        copy = Ridge(1e-3).fit(pool[chosen], answers[chosen].reshape(-1))
        return float(r2_score(np.array(given["judge_answers"]).reshape(-1), copy.predict(judge)))
    # The toolbox makes float32 of every row.
    known = {
        row.astype(np.float32).tobytes(): said for row, said in zip(pool, answers, strict=True)
    }
    victim = BlackBoxClassifier(
        lambda rows: np.array([known[row.astype(np.float32).tobytes()] for row in rows]),
        pool.shape[1:], given["classes"],
    )  # fmt: skip
    thief = SklearnClassifier(Thief(C=10, max_iter=1000))
    thief.model.fit(np.repeat(pool[:1], given["classes"], axis=0), np.arange(given["classes"]))
    attack = KnockoffNets(
        victim, batch_size_fit=10, batch_size_query=10, nb_epochs=1, nb_stolen=given["stolen"],
        sampling_strategy="random", verbose=False,
    )  # fmt: skip
    copy = attack.extract(pool, thieved_classifier=thief)
    truth = np.array(given["judge_answers"]).argmax(axis=1)
    return float((copy.predict(judge).argmax(axis=1) == truth).mean())


def main() -> None:
    """Run the attacks that fit the model."""
    given = json.loads(sys.stdin.readline())
    np.random.seed(given["seed"])
    found = {"membership": membership(given), "extraction": extraction(given)}
    if given["kind"] == "classifier":
        found["evasion"] = evasion(given)
    print(json.dumps({"found": found}), flush=True)


if __name__ == "__main__":
    main()
