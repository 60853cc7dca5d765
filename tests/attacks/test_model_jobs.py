"""Attack: a folder with a package called like a library, and a model that starts workers.

A model may rightly have been fitted with several jobs. joblib would start Python children for
them, which by default import from the folder where the command was typed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import joblib
import numpy as np
import pytest
from joblib.externals.loky import process_executor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import PairwiseKernel
from sklearn.linear_model import LinearRegression
from sklearn.metrics.pairwise import pairwise_distances
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from secureml.models.unpickling.allowlist import builtin_names
from secureml.models.unpickling.reader import load_estimator

CHECKOUT = Path(__file__).parents[2]
ROWS = np.random.default_rng(0).normal(size=(60, 2))
DECOYS = ("joblib", "sklearn", "numpy")


@pytest.fixture
def downloads(tmp_path):
    """Return a folder with a model, its table, and packages that leave a mark."""
    folder = tmp_path / "downloads"
    for name in DECOYS:
        (folder / name).mkdir(parents=True)
        mark = str(tmp_path / "imported")
        (folder / name / "__init__.py").write_text(f"open({mark!r}, 'a').write({name!r})\n")
    joblib.dump(several_jobs(), folder / "model.joblib")
    lines = [f"{a!r},{b!r},{a!r}" for a, b in ROWS.tolist()]
    (folder / "table.csv").write_text("\n".join(["a,b,answer", *lines]) + "\n")
    return folder


def several_jobs():
    scalers = [("one", StandardScaler()), ("other", StandardScaler())]
    model = make_pipeline(FeatureUnion(scalers), LinearRegression()).fit(ROWS, ROWS[:, 0])
    model[0].n_jobs = 2
    return model


def run(words, folder):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    # The empty entry means the working directory, and was never meant by whoever left it.
    path = {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}"}
    return subprocess.run(
        [sys.executable, "-P", *words],
        cwd=folder, env=clean | path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


# As the console command begins.
ENTER = (
    f"import runpy; path = {str(CHECKOUT / 'secureml/import_path.py')!r}; "
    "runpy.run_path(path)['leave_working_directory'](); "
)


@pytest.mark.parametrize("data", [["--data", "table.csv", "--target", "answer"], []])
def test_sealing_a_model_of_several_jobs_imports_nothing_of_the_folder(downloads, tmp_path, data):
    instance = ["--instance", str(tmp_path / "instance")]
    command = ["-c", ENTER + "from secureml.cli.main import main; main()"]
    made = run([*command, "init", *instance], tmp_path)
    seal = ["models", "seal", "model.joblib", "--name", "jobs", *data]
    sealed = run([*command, *seal, *instance], downloads)

    assert made.returncode == 0, made.stderr
    assert sealed.returncode == 0, sealed.stderr
    assert not (tmp_path / "imported").exists(), (tmp_path / "imported").read_text()


@pytest.mark.parametrize("started", [["-m", "joblib"], ["-c", "import joblib"]])
def test_a_python_child_of_a_command_imports_nothing_of_the_folder(downloads, tmp_path, started):
    child = f"import subprocess, sys; subprocess.run([sys.executable, *{started!r}], timeout=60)"
    run(["-c", ENTER + child], downloads)

    assert not (tmp_path / "imported").exists(), (tmp_path / "imported").read_text()


def test_the_trap_works(downloads, tmp_path):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'joblib'], timeout=60)"
    run(["-c", child], downloads)

    assert (tmp_path / "imported").exists()


def loaded(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    return load_estimator((tmp_path / "model.joblib").read_bytes(), builtin_names())


@pytest.fixture
def nothing_starts(monkeypatch):
    """Have the start of any thread or pool of workers raise."""

    def refuse(*_):
        raise AssertionError("something was started")

    def forbid():
        monkeypatch.setattr(threading.Thread, "start", refuse)
        monkeypatch.setattr(process_executor.ProcessPoolExecutor, "submit", refuse)

    return forbid


@pytest.mark.parametrize("backend", [None, "loky", "threading", "multiprocessing"])
@pytest.mark.parametrize("hints", [{}, {"prefer": "threads"}, {"prefer": "processes"}])
def test_once_a_model_is_loaded_joblib_runs_jobs_in_turn(tmp_path, nothing_starts, backend, hints):
    loaded(LinearRegression().fit(ROWS, ROWS[:, 0]), tmp_path)
    nothing_starts()
    done = joblib.Parallel(n_jobs=4, backend=backend, **hints)(
        joblib.delayed(threading.get_ident)() for _ in range(8)
    )

    assert set(done) == {threading.get_ident()}
    assert joblib.effective_n_jobs(300) == 1


def test_jobs_in_turn_are_for_every_thread_of_the_process(tmp_path):
    loaded(LinearRegression().fit(ROWS, ROWS[:, 0]), tmp_path)
    found = []
    asked = threading.Thread(target=lambda: found.append(joblib.effective_n_jobs(300)))
    asked.start()
    asked.join()

    assert found == [1]


def test_a_number_of_threads_among_the_arguments_of_a_kernel_starts_none(tmp_path, nothing_starts):
    model = GaussianProcessRegressor(PairwiseKernel(metric="rbf"), optimizer=None).fit(
        ROWS, ROWS[:, 0]
    )
    model.kernel_.pairwise_kernels_kwargs = {"n_jobs": 300}
    model = loaded(model, tmp_path)
    nothing_starts()

    assert model.kernel_.pairwise_kernels_kwargs == {"n_jobs": 1}
    assert model.predict(ROWS).shape == (60,)
    assert pairwise_distances(ROWS, n_jobs=300).shape == (60, 60)
