"""What kubectl makes of deploy/kubernetes, for the tests of it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_policy
import pytest
import yaml

KUBERNETES = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in KUBERNETES.glob("overlays/*/kustomization.yaml"))


def program(name: str, cure: str = "script/test installs it into .venv/kubernetes") -> str:
    """Return the path of a program, ours before others; skip without it, or fail when CI=true."""
    folder = Path(sys.prefix) / "kubernetes" / "bin"
    path = shutil.which(name, path=os.pathsep.join([str(folder), os.environ.get("PATH", "")]))
    if path is None:
        missing = f"{name} is missing; {cure}"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return path


def kustomize(folder: Path) -> str:
    done = subprocess.run(
        [program("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def text(overlay: str) -> str:
    """Return what `kubectl kustomize` makes of an overlay."""
    return kustomize(KUBERNETES / "overlays" / overlay)


def rendered(overlay: str) -> list[dict[str, Any]]:
    """Return the resources of an overlay, for the caller to change."""
    return list(yaml.safe_load_all(text(overlay)))


def one(resources: list[dict[str, Any]], *kinds: str, name: str = "") -> dict[str, Any]:
    """Return the one resource of a kind (of one of the kinds), by the beginning of its name."""
    found = [each for each in resources
             if each["kind"] in kinds and each["metadata"]["name"].startswith(name)]  # fmt: skip
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    return found[0]


def pod_of(resources: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = one(resources, "Deployment", "StatefulSet")["spec"]["template"]["spec"]
    return spec


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in kubernetes_policy.containers(pod) if each["name"] == name)
