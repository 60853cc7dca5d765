"""`secureml events tail` shows what is written down, also while it is written."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import closing

from plugins.audit_log.chain import Chain

KEY = "keys/audit.key"


def chain_of(instance):
    return Chain(instance / "logs/audit", (instance / KEY).read_bytes(), lambda: 1_767_225_600.0)


def test_the_last_events_are_shown_and_filtered(type_command, fresh_instance):
    with closing(chain_of(fresh_instance)) as chain:
        for n in range(5):
            chain.append({"event": "authn_login_fail", "client": f"c{n}", "code": "unauthorized"})
    words = ("events", "tail", "--instance", fresh_instance)

    said = type_command(*words, "-n", "2")
    assert [line.split()[3] for line in said.out.splitlines()] == ["c3", "c4"]
    said = type_command(*words, "--client", "c1", "--code", "unauthorized", "--json")
    assert json.loads(said.out)["client"] == "c1"
    assert type_command(*words, "--event", "no_such").out == ""


def test_what_is_written_while_it_follows_is_shown(fresh_instance):
    command = [sys.executable, "-m", "secureml.cli", "events", "tail", "-f", "-n", "0", "--json"]
    with (
        closing(chain_of(fresh_instance)) as chain,
        subprocess.Popen(
            [*command, "--instance", str(fresh_instance)], stdout=subprocess.PIPE, text=True
        ) as tail,
    ):
        assert tail.stdout is not None
        try:
            chain.append({"event": "a_b", "n": -1})
            # The start of the command is not ours to know: write until it shows the first.
            shown = threading.Event()

            def write() -> None:
                n = 0
                while not shown.wait(0.1):
                    chain.append({"event": "a_b", "n": (n := n + 1)})

            writer = threading.Thread(target=write)
            writer.start()
            seen = [json.loads(tail.stdout.readline())["n"] for _ in range(5)]
            shown.set()
            writer.join()
        finally:
            tail.kill()
    assert seen == list(range(seen[0], seen[0] + 5)), "in order, none left out, none twice"


def test_without_a_plugin_that_keeps_them_it_says_so(type_command, fresh_instance):
    file = fresh_instance / "secureml.toml"
    text = file.read_text().replace(', "audit_log"]', "]")
    file.write_text(text[: text.index("[plugins.audit_log]")])
    said = type_command("events", "tail", "--instance", fresh_instance)
    assert (said.code, "no enabled plugin keeps events" in said.err) == (1, True)
