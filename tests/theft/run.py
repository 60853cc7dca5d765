"""Measure the theft guard: who is found, after how many questions, and what they had by then.

    script/theft-bench [--seeds N] [--customers N] [--first N] [--subjects a,b]
                       [--split N] [--only customers] [--json FILE]

In process, through the plugin itself, so that many seeds are affordable; `over_http.py` takes
the same to a live server with the attacks of adversarial-robustness-toolbox.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import customers
import evasion
import extraction
from service import FULL, LABELS, ROUNDED, Case, Service
from subjects import subject

SUBJECTS = (
    "cancer-logistic", "cancer-forest", "wine-logistic", "wine-svc", "digits-logistic",
    "mixed-boosting", "mixed-forest",
)  # fmt: skip
HELD, TARGETS, MOST, QUERIES = 10, 10, 1000, 1000


class Bench:
    """Subjects, sealed once, and a service of its own for each case."""

    def __init__(self, folder: Path, split: int = 0) -> None:
        self.folder, self.made, self.cases, self.split = folder, {}, 0, split

    def subject(self, name: str):
        if name not in self.made:
            self.made[name] = subject(*name.split("-"), self.folder, self.split)
        return self.made[name]

    def case(
        self, name: str, fidelity: str, make, most: int, *, stop: bool = True, **table
    ) -> Case:
        self.cases += 1
        service = Service(self.subject(name), self.folder / f"case{self.cases}", fidelity, **table)
        try:
            return Case(service).run(make(service.target), most, stop=stop)
        finally:
            service.close()


def false_alarms(bench: Bench, name: str, seeds: int, first: int) -> list[dict]:
    """Let customers of each kind ask; return how many were flagged."""
    rows = []
    for kind, make in {**customers.CUSTOMERS, **customers.LOOK_ALIKE}.items():
        cases = [
            bench.case(
                name,
                FULL,
                lambda target, make=make, seed=seed: make(target, np.random.default_rng(seed)),
                QUERIES,
            )
            for seed in range(first, first + seeds)
        ]
        flagged = [case for case in cases if case.noticed]
        rows.append(
            {
                "subject": name,
                "customer": kind,
                "counted": kind in customers.CUSTOMERS,
                "flagged": len(flagged),
                "of": seeds,
                "first": min((case.noticed for case in flagged), default=None),
                "reasons": flagged[0].reasons if flagged else "",
            }
        )
    return rows


def stolen(bench: Bench, name: str, fidelity: str, seeds: int) -> list[dict]:
    """Let every copier ask; return what it had when it was noticed, and without the guard."""
    rows = []
    for attack, (grade, make) in extraction.ATTACKS.items():
        found, had, start = [], [], []
        for seed in range(seeds):
            chance = np.random.default_rng(100 + seed)
            target = bench.subject(name)
            held = _held(target, chance, HELD)
            case = bench.case(name, fidelity, lambda t: make(t, chance, held), MOST)
            found.append(case.noticed)
            had.append(extraction.agreement(target, case.table, case.labels, case.shares or None))
            labels = target.handle.predict(held).predictions
            start.append(extraction.agreement(target, held, labels, None))
        rows.append(
            {
                "subject": name,
                "fidelity": fidelity,
                "attack": attack,
                "class": grade,
                "noticed": sum(n is not None for n in found),
                "of": seeds,
                "queries": _middle([n or MOST for n in found]),
                "agreement": round(_middle(had), 3),
                "held rows alone": round(_middle(start), 3) if grade == "B" else None,
                "reasons": case.reasons,
            }
        )
    return rows


def evaded(bench: Bench, name: str, fidelity: str, seeds: int) -> list[dict]:
    """Let every evader ask; return how many of its targets it had brought over by then."""
    rows = []
    for attack, make in evasion.ATTACKS.items():
        found, done = [], []
        for seed in range(seeds):
            chance = np.random.default_rng(200 + seed)
            target = bench.subject(name)
            held, diary = _held(target, chance, TARGETS), evasion.Diary(target)
            case = bench.case(
                name, fidelity, lambda t, c=chance, h=held, d=diary: make(t, c, h, d), 4 * MOST
            )
            found.append(case.noticed)
            done.append(diary.successes())
        rows.append(
            {
                "subject": name,
                "fidelity": fidelity,
                "attack": attack,
                "noticed": sum(n is not None for n in found),
                "of": seeds,
                "queries": _middle([n or 4 * MOST for n in found]),
                "targets": max(done),
                "targets of": TARGETS,
                "reasons": case.reasons,
            }
        )
    return rows


def refused(bench: Bench, name: str, seeds: int) -> list[dict]:
    """Let uniform rows come in batches to a guard that answers; return what they were given."""
    rows = []
    for many, delay in ((1, 40), (1, 2), (20, 40), (20, 2), (50, 40)):
        given, fine, had = [], [], []
        for seed in range(seeds):
            chance = np.random.default_rng(400 + seed)
            case = bench.case(
                name,
                FULL,
                lambda t, c=chance, m=many: extraction.uniform_batches(t, c, None, m),
                MOST,
                stop=False,
                actions=["coarsen", "throttle"],
                delay=delay,
            )
            given.append(len(case.rows) if case.refused else MOST)
            fine.append(case.fine)
            had.append(extraction.agreement(case.service.target, case.table, case.labels, None))
        rows.append(
            {
                "subject": name,
                "rows a request": many,
                "delay": delay,
                "answered": _middle(given),
                "with probabilities": _middle(fine),
                "agreement, labels": round(_middle(had), 3) if _middle(given) else None,
            }
        )
    return rows


def unguarded(bench: Bench, name: str, fidelity: str) -> list[dict]:
    """Return the agreement of class C, which nobody notices, by what it was allowed to ask."""
    target = bench.subject(name)
    rows = []
    for budget in (10, 25, 50, 100, 250, 500):
        chance = np.random.default_rng(300)
        made = extraction.ATTACKS["knockoff, real rows"][1]
        case = bench.case(name, fidelity, lambda t, c=chance: made(t, c, None), budget, stop=False)
        if len(case.rows) < budget:
            break
        had = extraction.agreement(target, case.table, case.labels, case.shares or None)
        rows.append({"subject": name, "fidelity": fidelity, "budget": budget, "agreement": had})
    return rows


def _held(target, chance, many: int) -> np.ndarray:
    half = len(target.fresh) // 2
    return target.fresh[chance.permutation(half)[:many]]


def _middle(values):
    return statistics.median(values)


def report(title: str, rows: list[dict]) -> None:
    """Print a markdown table."""
    print(f"\n### {title}\n")
    keys = list(rows[0])
    print("| " + " | ".join(keys) + " |\n|" + "---|" * len(keys))
    for row in rows:
        print("| " + " | ".join("" if row[k] is None else str(row[k]) for k in keys) + " |")
    sys.stdout.flush()


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--customers", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="seed of the first customer")
    parser.add_argument("--split", type=int, default=0, help="which third no model is shown")
    parser.add_argument("--only", choices=["customers"])
    parser.add_argument("--subjects", default=",".join(SUBJECTS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, list[dict]] = {
        table: [] for table in ("false", "stolen", "evaded", "refused", "unguarded")
    }
    with tempfile.TemporaryDirectory() as folder:
        bench, begin = Bench(Path(folder), options.split), time.monotonic()
        for name in options.subjects.split(","):
            found["false"] += false_alarms(bench, name, options.customers, options.first)
            if options.only:
                continue
            for fidelity in (FULL, LABELS):
                found["stolen"] += stolen(bench, name, fidelity, options.seeds)
            found["evaded"] += evaded(bench, name, LABELS, options.seeds)
            found["refused"] += refused(bench, name, options.seeds)
            for fidelity in (FULL, ROUNDED, LABELS):
                found["unguarded"] += unguarded(bench, name, fidelity)
            print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
            if options.json:
                options.json.write_text(json.dumps(found, indent=1))
    report("Customers flagged", found["false"])
    if options.only:
        return
    report("Extraction", found["stolen"])
    report("Evasion", found["evaded"])
    report("Answered before the first refusal", found["refused"])
    report("Class C", found["unguarded"])


if __name__ == "__main__":
    main()
