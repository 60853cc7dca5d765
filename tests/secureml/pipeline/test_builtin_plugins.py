"""What is in the package ``plugins`` is known and not enabled."""

from __future__ import annotations

from pathlib import Path

from secureml.pipeline import builtin_plugins, loader

CHECKOUT = Path(__file__).resolve().parents[3]


def test_every_package_is_named():
    folders = {path.parent.name for path in CHECKOUT.glob("plugins/*/plugin.py")}
    assert set(builtin_plugins.names()) == folders


def test_the_sections_found_without_importing_all_are_those_of_all():
    """A plugin that declares one and has no module of that name would be left out by sealing."""
    everything = loader.find(builtin_plugins.names())

    assert builtin_plugins.card_sections() == builtin_plugins.card_sections_of(everything)
    named = {"anomaly", "input_rules", "theft_guard", "uncertainty"}
    assert set(builtin_plugins.card_sections()) == named
