from __future__ import annotations

import click
import pytest

from secureml.cli.model_refusals import with_refusals
from secureml.models.artifact.version_files import ModelRefused


def test_a_refused_model_ends_a_command_with_its_one_line():
    @with_refusals
    def seal(name):
        """Seal it."""
        raise ModelRefused("format", f"{name} is\nno model", "give one")

    with pytest.raises(click.ClickException) as ended:
        seal("it")
    assert ended.value.message == "format: it is\\nno model; fix: give one"
    assert (seal.__name__, seal.__doc__) == ("seal", "Seal it.")
    assert with_refusals(lambda: 5)() == 5
