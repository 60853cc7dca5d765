"""Fixtures of the live tests: servers for a module, and programs that may be missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# pytest imports each test file on its own (importlib mode), so this folder is no package.
sys.path.insert(0, str(Path(__file__).parent))
from live_containers import Engine, shared_engine
from live_servers import CHECKOUT, Edge, Gunicorn
from live_serving import Instance, Served, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTAINER_PACKAGES = "podman runc catatonit netavark aardvark-dns iptables mmdebstrap"


def require_tool(name: str, install: str) -> str:
    """Return the path of a program; without it skip and name the cure, or fail when CI=true."""
    venv = Path(sys.prefix)
    # The tools that have environments inside ours.
    tools = ("scan", "managers", "contract", "inference", "generator", "gateways")
    tools += ("containers", "audit", "kubernetes")
    inside = [str(venv / "bin"), *(str(venv / tool / "bin") for tool in tools)]
    places = [*inside, os.environ.get("PATH", ""), "/usr/sbin"]
    path = shutil.which(name, path=os.pathsep.join(places))
    if path is None:
        missing = f"{name} is missing; {install}"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return path


def require_package(file: str, install: str) -> None:
    """Skip and name the cure unless a file that is no program is there, or fail when CI=true."""
    if not Path(file).exists():
        missing = f"{file} is missing; {install}"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)


class Servers:
    """Starts servers in one temporary folder and stops all of them in reverse."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack, self._count = folder, stack, 0

    def folder(self) -> Path:
        self._count += 1
        return self._folder / str(self._count)

    def gunicorn(self, name: str = "one", *, timeout: int = 30) -> Gunicorn:
        server = Gunicorn(self.folder(), name, timeout=timeout)
        self._stack.callback(server.stop)
        return server

    def edge(self, *servers: Gunicorn | Path, start: bool = True, **values: Any) -> Edge:
        nginx = values.pop("nginx", "") or require_tool("nginx", "apt-get install nginx-light")
        sockets = [server.socket if isinstance(server, Gunicorn) else server for server in servers]
        edge = Edge(self.folder(), sockets, nginx, **values)
        self._stack.callback(edge.stop)
        return edge.start() if start else edge


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers that live as long as the module's tests."""
    with ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp("live"), stack)


@pytest.fixture(scope="module")
def gunicorn(servers: Servers) -> Gunicorn:
    return servers.gunicorn()


@pytest.fixture(scope="module")
def edge(servers: Servers, gunicorn: Gunicorn) -> Edge:
    """Nginx with the bundled configuration in front of the echo application."""
    return servers.edge(gunicorn)


@pytest.fixture(scope="session")
def tool() -> Callable[[str, str], str]:
    """The function that finds a program or skips, for tests that need one more."""
    return require_tool


@pytest.fixture(scope="session")
def package() -> Callable[[str, str], None]:
    """The function that skips where a package is not installed."""
    return require_package


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Podman with the images of deploy/container, built once for all files that use them."""
    podman = require_tool("podman", f"apt-get install {CONTAINER_PACKAGES}")
    for name in ("runc", "iptables", "mmdebstrap"):
        require_tool(name, f"apt-get install {CONTAINER_PACKAGES}")
    if os.geteuid() != 0:
        pytest.skip("only root can make the base of the images")
    session = tmp_path_factory.getbasetemp()
    # Processes of one run have a folder each, below the one of the run.
    session = session.parent if "PYTEST_XDIST_WORKER" in os.environ else session
    with shared_engine(session, podman, require_tool("mmdebstrap", "")) as made:
        yield made


@pytest.fixture(scope="session")
def catalogue() -> Any:
    """The titles of refusals, from their file alone: the application is not imported."""
    file = CHECKOUT / "secureml/pipeline/problems.py"
    specification = importlib.util.spec_from_file_location("problems_alone", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.CATALOGUE


@pytest.fixture(scope="session")
def demo_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The joblib file of the demo model and the table it was trained on."""
    return train(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, demo_files: tuple[Path, Path]) -> Instance:
    """An instance folder with the demo model sealed; no server runs here: make a copy."""
    return Instance.make(tmp_path_factory.mktemp("prepared") / "i", *demo_files)


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory, prepared: Instance) -> Instance:
    """The instance folder of the one server that the whole session shares."""
    return prepared.copy(tmp_path_factory.mktemp("shared") / "i")


@pytest.fixture(scope="session")
def served(instance: Instance) -> Iterator[Served]:
    """Nginx and Gunicorn with two workers, started by `secureml serve`, shared by modules."""
    require_tool("nginx", "apt-get install nginx-light")
    server = Served(instance.folder)
    try:
        yield server.ready()
    finally:
        server.stop()
