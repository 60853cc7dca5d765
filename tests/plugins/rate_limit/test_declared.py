"""The limits as Flask-Limiter has them."""

from __future__ import annotations

from flask import Flask

from plugins.rate_limit.allowance import read
from plugins.rate_limit.declared import Declared, file_place
from plugins.rate_limit.rules import Rule
from secureml.testing import Clock


def made(tmp_path, *allows):
    rules = [
        Rule(f"r{n}", "client", "", "", "", "requests", read(allow), "fixed-window", "refuse", "t")
        for n, allow in enumerate(allows)
    ]
    clock = Clock()
    places = (file_place(tmp_path / f"{name}.db", clock=clock, busy=0.2) for name in "ql")
    return rules, Declared(rules, *places, clock, lambda rule: lambda: rule.name)


def test_what_it_parsed_is_what_is_counted(tmp_path):
    rules, declared = made(tmp_path, "5 per 2 minutes", "7 per day")
    assert [str(declared.items[rule]) for rule in rules] == ["5 per 2 minute", "7 per 1 day"]


def test_what_lasts_is_kept_in_a_file_of_its_own(tmp_path):
    _, declared = made(tmp_path, "5 per minute", "7 per day")
    assert declared.storage(lasting=False).path.name == "q.db"
    assert declared.storage(lasting=True).path.name == "l.db"
    assert declared.in_use() == [False, True]
    assert made(tmp_path, "5 per minute")[1].in_use() == [False]


def test_it_works_without_an_app_and_shows_itself_to_one(tmp_path):
    rules, declared = made(tmp_path, "5 per minute")
    window = declared.window("fixed-window", lasting=False)
    assert window.reserve(declared.items[rules[0]], "k", 1).left == 4
    app = Flask("x")
    declared.attach(app)
    assert len(app.extensions["limiter"]) == 2
    assert not app.before_request_funcs
    assert not app.after_request_funcs
    assert not app.teardown_request_funcs
    again = declared.window("fixed-window", lasting=False)
    assert again.reserve(declared.items[rules[0]], "k", 1).left == 3
    declared.close()
