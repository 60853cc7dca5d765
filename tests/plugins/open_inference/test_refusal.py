"""A refusal of tensors names places and rules, and at most twenty of them."""

from __future__ import annotations

from plugins.open_inference.refusal import TensorsRefused, refused


def test_one_place_is_the_word_for_the_log_too():
    wrong = refused("/inputs/0/shape", "shape")
    assert (wrong.faults, wrong.word, wrong.code) == (
        [("/inputs/0/shape", "shape")], "shape", "invalid_input",
    )  # fmt: skip


def test_twenty_places_are_named():
    assert len(TensorsRefused("type", [("/a", "type")] * 30).faults) == 20
