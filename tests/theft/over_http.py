"""The attacks of adversarial-robustness-toolbox against a live server, over HTTPS.

    script/theft-bench --http [--subjects a,b] [--json FILE]

Nginx stays out of it: its ceilings on requests would only make the same numbers slower. Two
Gunicorn workers answer. The guard flags and does nothing else, so that it is known both when
an attack was noticed and what it would have come to.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests" / "live"), str(Path(__file__).parent)]

import customers
import extraction
from live_serving import Instance, Served, ask
from run import report
from subjects import fit_to, subject

PYTHON = CHECKOUT / ".venv" / "theft" / "bin" / "python"
# The toolbox takes no table for its Square attack, only images: ours runs in process.
EVASION = ("HopSkipJump", "Boundary", "ZOO")
POOLS = {
    "Knockoff, random rows": lambda t, c: c.uniform(t.low, t.high, (300, len(t.low))),
    "Knockoff, real rows": lambda t, c: fit_to(t, t.fresh[c.permutation(len(t.fresh) // 2)]),
}
MOST, TARGETS = 1000, 5


def make_instance(folder: Path, targets: list) -> Instance:
    """Return an instance with every subject sealed and the guard switched on."""
    made = Instance(folder / "instance")
    made.run("init")
    for target in targets:
        words = f"models seal {target.folder / target.name}.joblib --name {target.name}"
        words += f" --data {target.folder / target.name}.csv --target target"
        made.run(*words.split())
    settings = made.folder / "secureml.toml"
    text = settings.read_text().replace('"output_rules"', '"theft_guard", "output_rules"')
    settings.write_text(text + "\n[plugins.theft_guard]\nactions = []\n")
    return made


def attack(made: Instance, served: Served, target, name: str, rows, seed: int) -> dict:
    """Run one attack in the toolbox's own environment and say what came of it."""
    client = f"{name.split(',', maxsplit=1)[0].lower()}-{target.name}-{len(rows)}"
    given = {
        "path": f"/v1/models/{target.name}/predict",
        "port": served.port,
        "certificate": str(made.folder / "tls" / "ca.crt"),
        "key": made.key(client),
        "classes": list(target.handle.card.classes),
        "low": target.low.tolist(),
        "high": target.high.tolist(),
        "scale": target.spread.tolist(),
        "whole": [f.dtype == "integer" for f in target.handle.card.features],
        "rows": rows.tolist(),
        "attack": name.split(",", maxsplit=1)[0],
        "most": MOST,
        "seed": seed,
    }
    done = subprocess.run(
        [PYTHON, str(Path(__file__).parent / "art_client.py")],
        input=json.dumps(given), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    emitted = json.loads(done.stdout)
    return {**emitted, "noticed": noticed(made, client, target.name), "client": client}


def noticed(made: Instance, client: str, model: str) -> tuple[int, str] | None:
    """Return after how many rows the guard flagged a client, and for what reasons."""
    for entry in made.run("theft-guard", "list", "--all"):
        if entry["kind"] == "client" and (entry["name"], entry["model"]) == (client, model):
            return entry["rows"], ",".join(entry["reasons"])
    return None


def row_of(target, name: str, emitted: dict, rows) -> dict:
    """Return a line of the table."""
    asked, at = np.array(emitted["rows"]), emitted["noticed"]
    by_then = at[0] if at else len(asked)
    if name in POOLS:
        had = extraction.agreement(target, asked[:by_then], emitted["labels"][:by_then], None)
        come = f"agreement {had:.2f}"
    else:
        truth = target.handle.predict(rows).predictions
        found = np.array(emitted["found"])
        labels = target.handle.predict(found).predictions if len(found) else []
        turned = sum(a != b for a, b in zip(labels, truth, strict=False))
        come = f"{turned} of {len(rows)} targets in the end"
    return {
        "subject": target.name,
        "attack": name,
        "asked": len(asked),
        "noticed after": at[0] if at else None,
        "reasons": at[1] if at else "",
        "came to": come + (f" ({emitted['error'][:60]})" if emitted["error"] else ""),
    }


def calm(made: Instance, served: Served, target, seed: int) -> dict:
    """Let a customer ask 300 times; return its line."""
    client = f"customer-{target.name}-{seed}"
    key, chance = made.key(client), np.random.default_rng(seed)
    questions = customers.plain(target, chance)
    with closing(served.connect()) as connection:
        for _ in range(300):
            # A row beyond the ranges would be refused by the input rules, before the guard.
            body = {"instances": fit_to(target, next(questions)).tolist()}
            answer = ask(connection, "POST", f"/v1/models/{target.name}/predict", key, body)
            if answer.status != 200:
                raise SystemExit(f"a customer was refused: {answer.status}")
    at = noticed(made, client, target.name)
    return {
        "subject": target.name, "attack": "none: a customer", "asked": 300,
        "noticed after": at[0] if at else None, "reasons": at[1] if at else "", "came to": "",
    }  # fmt: skip


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--subjects", default="cancer-logistic,wine-svc,mixed-boosting")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        targets = [subject(*name.split("-"), folder) for name in options.subjects.split(",")]
        made = make_instance(folder, targets)
        served = Served(made.folder, "--no-nginx")
        lines = []
        try:
            if not served.printed(r"^authority .*\n"):
                raise SystemExit(served.output)
            for target in targets:
                chance = np.random.default_rng(1)
                lines += [calm(made, served, target, seed) for seed in range(2)]
                pools = {name: make(target, chance) for name, make in POOLS.items()}
                rows = fit_to(target, target.fresh[chance.permutation(len(target.fresh))[:TARGETS]])
                for name, asked in {**pools, **dict.fromkeys(EVASION, rows)}.items():
                    emitted = attack(made, served, target, name, asked, 1)
                    lines.append(row_of(target, name, emitted, asked))
                    print(lines[-1], file=sys.stderr, flush=True)
        finally:
            served.stop()
    report("Over HTTP, by adversarial-robustness-toolbox 1.20.1", lines)
    if options.json:
        options.json.write_text(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
