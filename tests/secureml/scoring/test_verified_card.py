from __future__ import annotations

from dataclasses import replace

import pytest

from secureml.models.artifact.version_files import ModelRefused
from secureml.models.serving.model_folder import ModelFolder
from secureml.scoring.verified_card import verified_card


@pytest.fixture
def artifact(plain):
    return ModelFolder(plain.model.root).artifact("m", "1")


def test_the_card_of_a_model_that_all_have_verified_is_returned(plain, artifact):
    seen = []

    assert verified_card(artifact, [seen.append], {}) == plain.handle.card
    assert seen == [artifact]


def test_what_one_refuses_is_refused_with_the_models_name(artifact):
    def refuse(_):
        raise ModelRefused("signature", "it is not signed", "seal it")

    with pytest.raises(ModelRefused, match="model m version 1: signature: it is not signed"):
        verified_card(artifact, [refuse], {})


def test_a_model_file_that_is_not_the_cards_is_refused(artifact):
    with pytest.raises(ModelRefused, match="digest"):
        verified_card(replace(artifact, model_bytes=b"another"), [], {})
