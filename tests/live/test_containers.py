"""The images of deploy/container, built and run as docs/containers.md says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from live_containers import APP, INSTANCE

if TYPE_CHECKING:
    from live_containers import Engine

pytestmark = [pytest.mark.live, pytest.mark.slow]


def test_the_image_makes_an_instance_on_a_volume(engine: Engine) -> None:
    volume = engine.volume("instance")
    mounts = [f"{volume}:{INSTANCE}"]
    words = ("init", "--profile", "production", "--host", "ml.example.org")
    assert "keys/edge-token" in engine.secureml(mounts, *words)
    assert engine.do("run", "--rm", APP, "x").returncode
