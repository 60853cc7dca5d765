"""What a plugin is: presence is participation, and what it is lent opens nothing."""

from __future__ import annotations

from secureml import Phase, Plugin
from secureml.pipeline.plugin import EXTRAS, phases_of
from secureml.pipeline.plugin_class import FORMS


def make(**words):
    """Return a plugin class."""
    return type("Sample", (Plugin,), {"name": "sample", **words})


def test_the_base_class_stands_at_no_phase():
    """Presence is participation."""
    assert phases_of(Plugin) == ()
    assert [word for word in FORMS if hasattr(Plugin, word)] == []


def test_a_plugin_stands_where_it_defines_a_method():
    """In the order of the pipeline, not of the class."""
    cls = make(record=lambda self, exchange: None, admit=lambda self, exchange: None)

    assert phases_of(cls) == (Phase.ADMIT, Phase.RECORD)


def test_it_is_known_of_each_phase_and_extra_how_it_is_called():
    """One that is not listed would be checked by nobody."""
    assert set(FORMS) == {*EXTRAS, *(phase.value for phase in Phase)}
