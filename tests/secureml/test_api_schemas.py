"""What the core's routes promise is what they answer."""

from __future__ import annotations

from secureml import api_schemas
from secureml.models.card import Feature
from secureml.pipeline.exchange import InputWarning
from secureml.testing import Harness


def test_alive_and_ready_answer_as_they_promise(tmp_path):
    """Every key known, none missing."""
    caller = Harness(tmp_path).app([]).test_client()
    assert api_schemas.AliveResponse().validate(caller.get("/healthz").get_json()) == {}
    assert api_schemas.ReadyResponse().validate(caller.get("/readyz").get_json()) == {}


def test_every_key_of_a_warning_is_promised():
    """As the pipeline has them."""
    assert set(api_schemas.WarningSchema().fields) == set(InputWarning._fields)


def test_every_key_of_a_public_feature_is_promised():
    """A new field of the card needs its line here."""
    known = set(Feature.__dataclass_fields__) - {"frame_dtype"}  # no business of a client's
    assert set(api_schemas.FeatureSchema().fields) == known
