"""Every estimator of scikit-learn and eighty compositions, sealed, served over HTTPS and asked.

What is answered is what the estimator answers here, to the bit. The page docs/estimators.md says
which are served and why the others are not; this file writes it:

    .venv/bin/python -m tests.live.test_every_estimator
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pytest

CHECKOUT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(CHECKOUT)]

from live_serving import Instance, Served, ask

from secureml.models.artifact import signature
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing import packaging
from tests.data_forms import convert_here
from tests.models_of_every_kind import Fitted, as_frame, as_instances, each_estimator, each_pipeline

pytestmark = [pytest.mark.live, pytest.mark.slow]
PAGE = CHECKOUT / "docs/estimators.md"
UNLIMITED = '\n[[plugins.rate_limit.limits]]\nfor = "client"\nallow = "1000000000 per minute"\n'
HEAD = """\
# Which estimators are served

Each estimator of scikit-learn was fitted on a small table and sealed with it.
It was served over HTTPS and asked all its rows, and so were the compositions below.
Every answer was the estimator's own, to the bit.
What is not served is listed with the reason that `secureml models seal` gives.
`tests/live/test_every_estimator.py` writes this page, and fails when it is not true any more."""


class Outcome(NamedTuple):
    """What came of sealing: a card and what is asked and expected, or the reason of a refusal."""

    name: str
    card: Any = None
    instances: Any = None
    expected: dict[str, Any] | None = None
    reason: str = ""


def seal(folder: Path, fitted: Fitted, number: int) -> Outcome:
    """Seal a model with the table of its rows, in this process."""
    frame, data = as_frame(fitted.rows), None
    if frame is None:
        return Outcome(fitted.name, reason="its rows are no table of columns")
    data = folder / "table.csv"
    frame.to_csv(data, index=False)
    key = signature.read_private_key(folder / "keys/model-signing.key")
    place = packaging.SealTarget(folder / "models", key, time.time, convert=convert_here)
    joblib.dump(fitted.model, folder / "model.joblib")
    try:
        order = packaging.Order(folder / "model.joblib", f"m{number}", data)
        card = packaging.seal(order, place).card
    except ModelRefused as refused:
        return Outcome(fitted.name, reason=refused.message)
    instances = as_instances(frame)
    return Outcome(fitted.name, card, instances, answers(fitted, card))


def answers(fitted: Fitted, card: Any) -> dict[str, Any]:
    """Return what an estimator answers here, as JSON has it."""
    # A copy: kernels of rows with the very array that was learned take a shorter way.
    rows = fitted.rows.copy()
    found = getattr(fitted.model, card.method or "predict")(rows)
    said = {"predictions": plain(found)}
    if card.has_probabilities:
        said["probabilities"] = plain(fitted.model.predict_proba(rows))
    return said


def plain(found: Any) -> Any:
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found).tolist()


def sealed(folder: Path) -> dict[str, list[Outcome]]:
    """Seal all models into a new instance."""
    instance = Instance(folder)
    instance.run("init")
    with (folder / "secureml.toml").open("a") as settings:
        settings.write(UNLIMITED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        groups = {"Estimators": each_estimator(), "Compositions": each_pipeline()}
        found = {}
        for group, models in groups.items():
            found[group] = [
                seal(folder, fitted, sum(map(len, found.values())) + number)
                for number, fitted in enumerate(models)
            ]
    return found


def page(found: dict[str, list[Outcome]]) -> str:
    """Return the page that says what came of all."""
    parts = [HEAD]
    for group, outcomes in found.items():
        served = [one for one in outcomes if one.card]
        parts += [f"## {group}", f"{len(served)} of {len(outcomes)} are served."]
        lines = ["| name | kind | asked by | values a row |", "|---|---|---|---|"]
        lines += [
            f"| {one.name} | {one.card.kind} | `{one.card.method or 'predict'}` | "
            f"{'several' if one.card.outputs else 'one'} |"
            for one in served
        ]
        parts.append("\n".join(lines))
        lines = ["| not served | why |", "|---|---|"]
        lines += [f"| {one.name} | {why(one.reason)} |" for one in outcomes if not one.card]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def why(reason: str) -> str:
    # Without numbers and names of classes: which random answer it was changes with each run.
    if "is answered" in reason and "as pandas reads" in reason:
        return "it answers at random, another time otherwise"
    return re.sub(r"\s+", " ", reason).replace("|", "/")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Outcome]]]:
    folder = tmp_path_factory.mktemp("every") / "i"
    return folder, sealed(folder)


def test_every_answer_over_https_is_the_estimators_own_to_the_bit(
    found: tuple[Path, dict[str, list[Outcome]]],
) -> None:
    folder, groups = found
    key = Instance(folder).key("everyone")
    server = Served(folder).ready()
    differing, asked = [], 0
    try:
        with closing(server.connect()) as connection:
            for one in (one for group in groups.values() for one in group if one.card):
                path = f"/v1/models/{one.card.name}/predict"
                answer = ask(connection, "POST", path, key, {"instances": one.instances})
                said = answer.json()
                asked += 1
                shown = {name: said.get(name) for name in one.expected or {}}
                if answer.status != 200 or shown != one.expected:
                    differing.append((one.name, answer.status, said.get("detail")))
    finally:
        server.stop()
    assert differing == []
    assert asked > 250


def test_the_page_says_which_are_served(found: tuple[Path, dict[str, list[Outcome]]]) -> None:
    assert page(found[1]) == PAGE.read_text("utf-8"), (
        "run: python -m tests.live.test_every_estimator"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(page(sealed(Path(place) / "i")), "utf-8")
