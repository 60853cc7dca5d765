"""Both plugins that verify tokens have the same file, which `tests/plugins/oauth2` tests."""

from __future__ import annotations

from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"


def test_public_key_is_the_same_in_both_plugins():
    """So a fault that is repaired in one is repaired in the other."""
    both = [PLUGINS / name / "public_key.py" for name in ("oauth2", "oauth2_server")]
    assert both[0].read_bytes() == both[1].read_bytes()
