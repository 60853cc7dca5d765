"""A model file is read in confinement, or not at all unless somebody said so."""

from __future__ import annotations

import io
import os

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from secureml.confinement import run as confinement
from secureml.confinement.unavailable import ConfinementError, ConfinementUnavailable
from secureml.models.artifact.version_files import ModelRefused
from secureml.models.sealing.confined_conversion import Confined, Source
from secureml.models.sealing.conversion import Conversion, convert, take

ROWS = np.arange(24.0).reshape(12, 2)
TABLE = b"a,b,y\n" + b"".join(b"%d,%d,%d\n" % (2 * i, 2 * i + 1, i) for i in range(12))
CONVERSION = Conversion("m", "1", "2026-01-01T00:00:00Z", "1" * 64, "t.csv", "y")


@pytest.fixture
def source(tmp_path):
    joblib.dump(LinearRegression().fit(ROWS, np.arange(12.0)), tmp_path / "model.joblib")
    opened = os.open(tmp_path / "model.joblib", os.O_RDONLY)
    yield Source(opened, TABLE)
    os.close(opened)


def test_the_child_writes_what_is_written_here_to_the_last_byte(source, tmp_path):
    here = io.BytesIO()
    convert(CONVERSION, (tmp_path / "model.joblib").read_bytes(), TABLE, here)

    assert Confined()(CONVERSION, source, tmp_path / "result") == []
    assert (tmp_path / "result").read_bytes() == here.getvalue()
    with (tmp_path / "result").open("r+b") as result:
        assert take(result).card


@pytest.mark.parametrize("unconfined", [False, True])
def test_without_confinement_it_is_refused_unless_somebody_accepts_that(
    source, tmp_path, monkeypatch, unconfined
):
    def run(job, *, required, switch, **_):
        if required:
            raise ConfinementUnavailable({"landlock": "not in this kernel"}, switch)
        raise ConfinementError("it was begun")

    monkeypatch.setattr(confinement, "run", run)
    with pytest.raises(ModelRefused) as refused:
        Confined(unconfined_too=unconfined)(CONVERSION, source, tmp_path / "result")

    assert refused.value.check == "confinement"
    if unconfined:
        assert refused.value.message == "it was begun"
    else:
        assert "landlock (not in this kernel)" in refused.value.message
        assert "or accept the risk with --unconfined" in refused.value.fix


def test_limits_follow_the_sizes_of_what_is_read_unless_they_are_given(source, monkeypatch):
    seen = []

    def run(job, *, limits, **_):
        seen.append(limits)
        raise ConfinementError("enough")

    monkeypatch.setattr(confinement, "run", run)
    for confined in (Confined(), Confined(memory=2**30, seconds=5)):
        for given in (source, Source(source.model, TABLE * 1000)):
            with pytest.raises(ModelRefused):
                confined(CONVERSION, given, None)
    small, large, fixed, fixed_too = seen

    assert large.memory - small.memory == 40 * 999 * len(TABLE)
    assert small.memory > 2 * 2**30
    assert (fixed.memory, fixed.processor) == (fixed_too.memory, 5) == (2**30, 5)


def test_a_limit_that_ended_it_names_the_options_that_raise_it(source, tmp_path):
    with pytest.raises(ModelRefused) as refused:
        Confined(seconds=1)(CONVERSION, source, tmp_path / "result")

    assert refused.value.check == "confinement"
    assert "--time-limit" in refused.value.fix
    assert not (tmp_path / "result").exists()
