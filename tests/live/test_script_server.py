"""script/server, run as a newcomer runs it: the line it prints works as it stands."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import pytest
from live_servers import CHECKOUT
from live_serving import Served, alive
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.live, pytest.mark.slow]

SCRIPT = str(CHECKOUT / "script/server")


NAME = "My Iris.v2_forest.joblib"


def script(folder: Path, *flags: str) -> Served:
    """Run script/server from another folder, with an instance folder named from there."""
    start = ["env", "-C", str(folder), SCRIPT, "--instance", "my instance", *flags]
    return Served(folder / "my instance", start=start)


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of one's own and its table."""
    folder, iris = tmp_path_factory.mktemp("forest"), load_iris()
    model = RandomForestClassifier(20, random_state=2)
    joblib.dump(model.fit(iris.data, iris.target_names[iris.target]), folder / NAME)
    lines = [",".join(iris.feature_names), *(",".join(map(str, row)) for row in iris.data)]
    (folder / "iris.csv").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.fixture(scope="module")
def both(
    forest: Path,
    tmp_path_factory: pytest.TempPathFactory,
    tool: Callable[[str, str], str],
) -> Iterator[tuple[Served, Served]]:
    """The demo and the forest, each by a script/server of its own, started side by side."""
    tool("nginx", "apt-get install nginx-light")
    tool("curl", "apt-get install curl")
    servers = (
        script(tmp_path_factory.mktemp("demo")),
        script(forest, "--model", NAME, "--data", "iris.csv"),
    )
    try:
        for server in servers:
            assert server.printed(r"^curl .*\n"), server.output
        yield servers
    finally:
        for server in servers:
            if server.process.returncode is None:
                server.stop(signal.SIGINT)


def paste(server: Served, folder: Path) -> Any:
    """Run the one line that begins with curl, as it stands, and return what it prints."""
    (line,) = [text for text in server.output.splitlines() if text.startswith("curl ")]
    pasted = subprocess.run(
        ["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )
    assert pasted.returncode == 0, pasted.stderr
    return json.loads(pasted.stdout)


def interrupt(server: Served) -> None:
    """End the script as Ctrl-C does, and hold it to leaving nothing."""
    below = server.processes()
    assert len(below) >= 6
    assert server.stop(signal.SIGINT) == 0
    assert [pid for pid in below if alive(pid)] == []
    assert [path for path in server.instance.rglob("*") if path.is_socket()] == []


def test_the_printed_line_asks_the_demo_and_ctrl_c_leaves_nothing(
    both: tuple[Served, Served], tmp_path: Path
) -> None:
    demo, _ = both
    answer = paste(demo, tmp_path)
    assert answer["predictions"] == [0]
    assert answer["model"] == {"name": "breast-cancer", "version": "1"}
    for word in (f"https://localhost:{demo.port}", "ca.crt", "API key    sml_"):
        assert word in demo.output
    interrupt(demo)


def test_a_model_of_ones_own_is_served_under_its_files_name(
    both: tuple[Served, Served], forest: Path, tmp_path: Path
) -> None:
    model, row = joblib.load(forest / NAME), load_iris().data[:1]
    answer = paste(both[1], tmp_path)
    assert answer["model"] == {"name": "my-iris-v2-forest", "version": "1"}
    assert answer["predictions"] == model.predict(row).tolist()
    assert answer["probabilities"] == model.predict_proba(row).tolist()
    interrupt(both[1])


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--prot", "1"], "unknown option --prot"),
        (["--port"], "--port needs a number"),
        (["--model", "nothing.joblib"], "nothing.joblib"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_made(
    tmp_path: Path, flags: list[str], says: str
) -> None:
    done = subprocess.run(
        [SCRIPT, "--instance", "i", *flags],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []
