"""Every name a model file asks for is listed, and none of them is imported or called."""

from __future__ import annotations

import functools
import io
import os
import pickle
import sys

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from secureml.models.unpickling.allowlist import allowed_names
from secureml.models.unpickling.decompression import unpack
from secureml.models.unpickling.reader import load_recorded
from secureml.models.unpickling.requested_names import requested

ROWS, ANSWERS = np.array([[0.0, 1], [1, 0], [2, 1], [3, 0]]), [0, 0, 1, 1]


def written(thing, **words):
    file = io.BytesIO()
    joblib.dump(thing, file, **words)
    return file.getvalue()


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression().fit(ROWS, ANSWERS),
        make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, ANSWERS),
        RandomForestClassifier(3, random_state=0).fit(ROWS, ANSWERS),
        make_pipeline(OneHotEncoder(), LogisticRegression()).fit(
            np.array([["a"], ["b"], ["a"], ["c"]], dtype=object), ANSWERS
        ),
    ],
    ids=["linear", "pipeline", "forest", "words"],
)
@pytest.mark.parametrize("compress", [0, 3])
def test_it_finds_the_names_that_reading_finds(estimator, compress):
    data = written(estimator, compress=compress)
    found = requested(unpack(data))

    assert set(found.names) == set(load_recorded(data, allowed_names())[1])
    assert found.sklearn == estimator.__getstate__()["_sklearn_version"]
    assert found.inner == frozenset()


class Names:
    """Asks for whatever it is told, in the order of the arguments."""

    def __init__(self, *calls):
        self.calls = calls

    def __reduce__(self):
        return list, (), None, iter([_Call(*call) for call in self.calls])


class _Call:
    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


def test_attack_nothing_is_called_however_it_is_asked_for(tmp_path):
    mark = tmp_path / "ran"
    data = pickle.dumps(
        Names((os.system, f"touch {mark}"), (exec, f"open({str(mark)!r}, 'w')"), (os.getcwd,))
    )
    found = requested(data)

    assert {name.rpartition(".")[2] for name in found.names} >= {"system", "exec", "getcwd"}
    assert not mark.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cthis_is_imported\nName\n.",
        b"\x8c\x10this_is_imported\x8c\x04Name\x93.",
        b"(ithis_is_imported\nName\n.",
        b"(cthis_is_imported\nName\no.",
        b"cthis_is_imported\nName\n)\x81.",
        b"cthis_is_imported\nName\n)}\x92.",
        b"cthis_is_imported\nName\n)R}(X\x01\x00\x00\x00aK\x01ub.",
    ],
)
def test_attack_no_opcode_imports_what_it_names(tmp_path, monkeypatch, opcodes):
    (tmp_path / "this_is_imported.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    found = requested(b"\x80\x04" + opcodes)

    assert found.names == ("this_is_imported.Name",)
    assert "this_is_imported" not in sys.modules


def test_a_name_inside_a_class_is_told_apart():
    found = requested(b"\x80\x04\x8c\x01m\x8c\x0bOuter.inner\x93.")

    assert found.inner == {"m.Outer.inner"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04",
        b"\x80\x04.",
        b"\x80\x04R.",
        b"\x80\x04\x96" + b"\xff" * 8,  # a bytearray of 2**64 bytes
        b"\x80\x04\x8e" + b"\xff" * 8,
        b"\x80\x04" + b"(" * 100_000,
        b"\x80\x04" + b"]" * 1000 + b"a" * 5000,
        b"\x80\x04\x82\x01.",
        b"\x80\x04Pid\n.",
    ],
)
def test_attack_a_stream_that_makes_no_sense_is_left_to_the_reader(data):
    assert requested(data).names == ()


def test_what_was_found_until_the_stream_breaks_is_kept():
    whole = written(make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, ANSWERS))
    found = requested(whole[: len(whole) // 2])

    assert found.names[0] == "sklearn.pipeline.Pipeline"


def test_attack_names_without_end_are_not_kept():
    stream = b"".join(b"cm\nname%d\n0" % number for number in range(30_000))

    assert len(requested(b"\x80\x04" + stream + b"N.").names) <= 10_001


def test_it_tells_where_a_name_stands_as_far_as_it_is_an_attribute():
    scaled = StandardScaler().fit(ROWS)
    scaled.mine = functools.partial(np.add, 1)
    found = requested(written(scaled))

    assert [location.where for location in found.indices["functools.partial"]] == [
        "StandardScaler.mine"
    ]


def test_attack_places_are_few_and_short_however_many_a_file_has():
    scaled = StandardScaler().fit(ROWS)
    for number in range(50):
        setattr(scaled, f"{number}" + "x" * 5000, functools.partial(int))
    indices = requested(written(scaled)).indices["functools.partial"]

    assert len(indices) == 3
    assert all(len(location.where) <= 100 for location in indices)
