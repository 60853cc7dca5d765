"""What is fuzzed: bytes into the strict reading, rows into the rules, text into the grammar.

Run by `tests/attacks/test_fuzz.py` in the fuzzer's own environment, or by hand:

    PYTHONPATH=.:.venv/lib/python3.11/site-packages \
        .venv/fuzz/bin/python tests/fuzz/targets.py payload -max_total_time=600 CORPUS
"""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc

import atheris

with atheris.instrument_imports(include=["secureml", "plugins"]):
    from plugins.input_rules.parser import parse
    from plugins.input_rules.rule import Rule, RuleError
    from plugins.input_rules.validation import InputValidator, ValidationPolicy
    from plugins.open_inference.instances import instances_of
    from plugins.open_inference.refusal import TensorsRefused
    from plugins.open_inference.selection import read_selection
    from plugins.open_inference.tensors import read_tensors
    from secureml.models.card import Feature
    from secureml.models.rows.reader import RowReader
    from secureml.models.rows.refused import RowsRefused
    from secureml.pipeline.body import Limits, read_json
    from secureml.pipeline.content_encoding import unpack
    from secureml.pipeline.problems import Problem
    from tests.made_card import card
    from tests.naughty import NAUGHTY

LIMITS = Limits()
GROWTH = 4 * 1024 * 1024
KNOWN = {"malformed_json", "duplicate_key", "not_a_number", "json_too_deep", "json_too_large"}
PACKED = {"unsupported_encoding", "malformed_encoding", "body_too_large", "body_expands"}
FEATURES = (
    Feature("a", "float", 0.0, 10.0),
    Feature("b", "float", -1.0, 1.0, missing="allow"),
    Feature("n", "integer", 0, 10),
    Feature("flag", "boolean", missing="allow"),
    Feature("kind", "category", categories=("x", "y")),
    Feature("note", "text", missing="allow"),
)
RULES = (
    Rule("order", "a + 2 * b <= n * n"),
    Rule("near", "a == b within 5%", "flag"),
    Rule("least", "a >= -100", "clip"),
    Rule("words", 'if kind == "x" and flag == true then note present and length(note) < 9', "flag"),
    Rule("range", "b in range", "clip"),
)
CARD = card(*FEATURES, rules=RULES)
READER, VALIDATOR = (
    RowReader(CARD),
    InputValidator(CARD, ValidationPolicy(ranges="flag", text_length=8, long_text="clip")),
)
NUMBERS = card(*(Feature(name, "float", 0.0, 1.0) for name in "abcdef"))
PLAIN, PLAIN_VALIDATOR = (
    RowReader(NUMBERS),
    InputValidator(NUMBERS, ValidationPolicy(ranges="clip")),
)


def payload(data: bytes) -> None:
    """Whatever is read is what JSON says, and can be said again; else one of our codes."""
    try:
        value = read_json(data, LIMITS)
    except Problem as problem:
        assert problem.code in KNOWN, problem.code
        return
    again = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    assert json.loads(again) == value == json.loads(data)


def coding(data: bytes) -> None:
    """A body is unpacked whole and within its limit, or refused."""
    word, _, body = data.partition(b"\n")
    try:
        found = unpack(body, word.decode("latin-1"), 4096, 10)
    except Problem as problem:
        assert problem.code in PACKED, problem.code
        return
    assert len(found) <= 4096 or found is body


def rows(data: bytes) -> None:
    """Rows are answered or refused with places; a model never sees what is not finite."""
    bits = atheris.FuzzedDataProvider(data)
    names = [feature.name for feature in FEATURES]
    instances = [instance(bits, names) for _ in range(bits.ConsumeIntInRange(0, 9))]
    validated(instances, READER, VALIDATOR)
    validated([[cell(bits) for _ in range(6)] for _ in range(3)], PLAIN, PLAIN_VALIDATOR)


def instance(bits: atheris.FuzzedDataProvider, names: list[str]) -> object:
    """Return an instance, mostly of the right shape."""
    shape = bits.ConsumeIntInRange(0, 9)
    if shape == 0:
        return cell(bits)
    width = len(names) if shape > 1 else bits.ConsumeIntInRange(0, 9)
    cells = [right(bits, place) if shape > 3 else cell(bits) for place in range(width)]
    return cells if shape % 2 or shape == 1 else dict(zip(names, cells, strict=False))


def right(bits: atheris.FuzzedDataProvider, place: int) -> object:
    """Return what the feature at a place may hold, now and then something else."""
    kinds = (
        bits.ConsumeRegularFloat,
        lambda: None if bits.ConsumeBool() else bits.ConsumeProbability(),
        lambda: bits.ConsumeIntInRange(-20, 20),
        lambda: (True, False, None)[bits.ConsumeIntInRange(0, 2)],
        lambda: ("x", "y")[bits.ConsumeIntInRange(0, 1)],
        lambda: NAUGHTY[bits.ConsumeIntInRange(0, len(NAUGHTY) - 1)],
    )
    return kinds[place]() if bits.ConsumeIntInRange(0, 50) else cell(bits)


def cell(bits: atheris.FuzzedDataProvider) -> object:
    """Return anything that JSON can carry."""
    kinds = (
        bits.ConsumeRegularFloat,
        lambda: bits.ConsumeIntInRange(-(2**63), 2**63 - 1),
        lambda: 10 ** bits.ConsumeIntInRange(0, 400),
        bits.ConsumeBool,
        lambda: None,
        lambda: bits.ConsumeUnicodeNoSurrogates(8),
        lambda: [bits.ConsumeBool()],
        lambda: {"a": 1},
    )
    return kinds[bits.ConsumeIntInRange(0, len(kinds) - 1)]()


def validated(instances: list[object], reader: RowReader, validator: InputValidator) -> None:
    """Read and validate, and hold what comes out to its promise."""
    try:
        found = reader.read(instances)
    except RowsRefused as refused:
        check(refused.faults)
        return
    report = validator.validate(found, instances)
    assert len(report.rows) == len(instances)
    for faults in report.faults.values():
        check(faults)


def check(faults: list[tuple[str, str]]) -> None:
    """At most twenty, each a place."""
    assert 1 <= len(faults) <= 20
    assert all(path.startswith("/instances") for path, _ in faults)


def tensors(data: bytes) -> None:
    """Tensors behind a line of JSON are rows of the card's width, or refused with a code."""
    line, _, rest = data.partition(b"\n")
    try:
        envelope = read_json(line, LIMITS)
        if not isinstance(envelope, dict):
            return
        read_selection(envelope, ("predictions", "probabilities"))
        found = instances_of(read_tensors(envelope.get("inputs"), rest, 100), FEATURES, 4096)
    except Problem as problem:
        assert problem.code in KNOWN, problem.code
        return
    except TensorsRefused as wrong:
        assert len(wrong.faults) <= 20
        return
    assert found
    assert {len(row) for row in found} == {len(FEATURES)}
    json.dumps(found, allow_nan=False)
    validated(found, READER, VALIDATOR)


def rule(data: bytes) -> None:
    """A text is a rule or none."""
    try:
        parse(data.decode("utf-8", "replace"))
    except RuleError:
        return


def measured(target):
    """Return a target that holds memory to what it was after its first thousand runs."""
    seen = {"runs": 0, "base": 0}

    def run(data: bytes) -> None:
        target(data)
        seen["runs"] += 1
        if seen["runs"] == 1000:
            tracemalloc.start()
        if seen["runs"] == 2000:
            seen["base"] = tracemalloc.get_traced_memory()[0]
        elif seen["runs"] > 2000 and seen["runs"] % 5000 == 0:
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - seen["base"]
            assert grown < GROWTH, f"memory grew by {grown} bytes"

    return run


if __name__ == "__main__":
    # Of rows it is measured in tests/attacks/test_hostile_bodies.py: atheris 3.0 keeps what
    # every comparison it traces returned, and here these are arrays.
    targets = {"payload": measured(payload), "coding": measured(coding), "rule": measured(rule)}
    chosen = {**targets, "rows": rows, "tensors": tensors}[sys.argv.pop(1)]
    atheris.Setup(sys.argv, chosen)
    atheris.Fuzz()
