"""What a conversion writes is checked like any other upload."""

from __future__ import annotations

import io
import json
import struct

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.data_form import reader
from secureml.models.sealing import conversion as conversions
from secureml.models.sealing.conversion import (
    Conversion,
    Converted,
    check_same,
    convert,
    learn,
    take,
)

ROWS, ANSWERS = np.arange(24.0).reshape(12, 2), np.arange(12.0)
TABLE = b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (2 * i, 2 * i + 1, i) for i in range(12))
CONVERSION = Conversion("m", "1", "2026-01-01T00:00:00Z", "1" * 64, "t.csv", "y")


def model_file(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    return file.getvalue()


def converted(estimator=None, table=TABLE, conversion=CONVERSION):
    file = io.BytesIO()
    model = LinearRegression().fit(ROWS, ANSWERS) if estimator is None else estimator
    convert(conversion, model_file(model), table, file)
    return file


def result(said, form=b"form"):
    trailer = said if isinstance(said, bytes) else json.dumps(said).encode()
    return io.BytesIO(form + trailer + struct.pack("<Q", len(trailer)))


def test_what_is_left_of_the_result_is_the_data_form_alone():
    file = converted()
    said = take(file)
    form = file.getvalue()
    found = reader.read(form, allowed=reader.names(form))

    assert (
        found.predict(ROWS).tobytes()
        == LinearRegression().fit(ROWS, ANSWERS).predict(ROWS).tobytes()
    )
    assert json.loads(said.card)["source_digest"] == "1" * 64


def test_the_card_of_the_file_is_that_of_its_data_form():
    file = converted()
    said = take(file)
    form = file.getvalue()
    names = reader.names(form)
    digest = json.loads(said.card)["digest"]
    found = learn(CONVERSION, reader.read(form, allowed=names), names, TABLE, digest=digest)

    check_same(found, said)
    for other in (
        Converted(said.card, said.answers[:-1] + "x"),
        Converted(said.card.replace('"regressor"', '"classifier"'), said.answers),
    ):
        with pytest.raises(ModelRefused, match="otherwise from its data form"):
            check_same(found, other)


def test_an_answer_that_differs_in_its_last_bit_is_another_digest():
    def answers(intercept):
        model = LinearRegression().fit(ROWS, ANSWERS)
        model.intercept_ = intercept
        return take(converted(model)).answers

    assert answers(1.0) == answers(1.0)
    assert answers(1.0) != answers(np.nextafter(1.0, 2))


def test_a_refusal_comes_back_as_it_was():
    with pytest.raises(ModelRefused) as refused:
        take(converted(LinearRegression()))

    assert refused.value.check == "card"
    assert "is not fitted" in refused.value.message


def test_a_lack_of_memory_is_no_fault_of_the_table(monkeypatch):
    """Else its message would send an operator to look at a table that is right."""

    def starve(*_, **__):
        raise MemoryError

    monkeypatch.setattr(conversions, "learn_model", starve)
    with pytest.raises(MemoryError):
        converted()


@pytest.mark.parametrize(
    "hostile",
    {
        "nothing": io.BytesIO(),
        "too short": io.BytesIO(b"1234567"),
        "a length beyond the file": io.BytesIO(b"{}" + struct.pack("<Q", 3)),
        "a length beyond all bounds": io.BytesIO(b"{}" + struct.pack("<Q", 2**63)),
        "no JSON": result(b"{"),
        "not text": result(b"\xff\xff"),
        "a list": result([]),
        "no members": result({}),
        "one member": result({"card": "{}"}),
        "a member too many": result({"card": "{}", "answers": "", "path": "/etc/passwd"}),
        "a card that is no text": result({"card": {}, "answers": ""}),
        "a member twice": result(b'{"card":"{}","answers":"","card":"{}"}'),
        "nested without end": result(b"[" * 100_000),
        "a refusal that is no list": result({"refused": "card"}),
        "a refusal of two parts": result({"refused": ["card", "no"]}),
        "a refusal of numbers": result({"refused": [1, 2, 3]}),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_attack_a_result_that_no_conversion_writes_is_refused(hostile):
    with pytest.raises(ModelRefused) as refused:
        take(hostile[1])

    assert refused.value.check == "format"
    assert "no result that can be read" in refused.value.message or refused.value.message


def test_attack_a_refusal_cannot_name_a_check_of_its_own():
    with pytest.raises(ModelRefused) as refused:
        take(result({"refused": ["signature", "line\nERROR forged", "fix\x1b[2J"]}))

    assert refused.value.check == "format"
    assert str(refused.value).isprintable()


def test_a_conversion_is_read_as_it_was_written():
    order = Conversion(
        "m", "3", "2026-01-01T00:00:00Z", "0" * 64, None, "y", {"a": "text"}, ("b.C",)
    )

    assert Conversion.decode(order.encode()) == order
