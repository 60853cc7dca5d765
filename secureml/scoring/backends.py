"""Where chunks are scored: joblib's backends over processes, threads, or a Dask cluster.

Chunks are given out in rounds, so that what is finished and not yet written has a bound.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from joblib.parallel import LokyBackend, SequentialBackend, ThreadingBackend

from secureml.scoring.refused import NotScored

_CHUNKS_IN_ROUND = 16  # for each worker
Call = tuple[Any, ...]


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster: ``address`` of its scheduler, and PEM files where it is reached by TLS."""

    address: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Workers:
    """What runs calls of a function at the same time, and yields results as they come.

    Without a backend it is the one that joblib is configured with.
    """

    def __init__(self, backend: Any, count: int) -> None:
        self._backend, self._count = backend, count

    def run(self, function: Callable[..., Any], calls: Iterator[Call]) -> Iterator[Any]:
        """Yield the results of all calls, in no order; ``calls`` must not raise."""
        ask = effective_n_jobs if self._backend is None else self._backend.effective_n_jobs
        jobs = ask(self._count)
        with Parallel(
            n_jobs=self._count,
            backend=self._backend,
            return_as="generator_unordered",
            batch_size=1,
            max_nbytes=None,
        ) as parallel:
            for first in calls:
                round_ = chain([first], islice(calls, jobs * _CHUNKS_IN_ROUND - 1))
                yield from parallel(delayed(function)(*call) for call in round_)


@contextmanager
def local(count: int, *, threads: bool) -> Iterator[Workers]:
    """Workers of this machine: this process alone for one, else processes, or threads."""
    if count == 1:
        yield Workers(SequentialBackend(), 1)
    elif threads:
        yield Workers(ThreadingBackend(), count)
    else:
        with _safe_path():
            yield Workers(LokyBackend(inner_max_num_threads=1), count)


@contextmanager
def _safe_path() -> Iterator[None]:
    """Have processes that are started import nothing from the folder they are started in."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextmanager
def cluster(found: Cluster, shared: list[bytes]) -> Iterator[Workers]:
    """Workers of a Dask cluster; ``shared`` are sent to each of them once."""
    try:
        distributed: Any = import_module("distributed")  # an extra
    except ImportError:
        raise NotScored(
            "--cluster needs dask.distributed, which is not installed",
            "script/extras cluster",
        ) from None
    try:
        client = distributed.Client(
            found.address, security=_security(found, distributed), timeout=20, set_as_default=False
        )
    except (OSError, ValueError, TypeError) as error:
        raise NotScored(
            f"the Dask scheduler at {found.address} cannot be reached "
            f"({' '.join(str(error).split())})",
            "check the address, and --cluster-ca, --cluster-cert and --cluster-key for tls://",
        ) from None
    try:
        if not client.ncores():
            raise NotScored(
                f"the Dask cluster at {found.address} has no workers",
                f"start some: dask worker {found.address}",
            )
        with parallel_config(backend="dask", client=client, scatter=shared):
            yield Workers(None, -1)
    finally:
        client.close()


def _security(found: Cluster, distributed: Any) -> Any:
    files = (found.ca, found.certificate, found.key)
    if not any(files):
        if found.address.startswith("tls://"):  # else it is tried for twenty seconds
            raise NotScored(
                f"the Dask scheduler at {found.address} cannot be reached without certificates",
                "give --cluster-ca, --cluster-cert and --cluster-key",
            )
        return None
    if not all(files):
        raise NotScored(
            "--cluster-ca, --cluster-cert and --cluster-key belong together", "give all three"
        )
    return distributed.Security(
        tls_ca_file=str(found.ca),
        tls_client_cert=str(found.certificate),
        tls_client_key=str(found.key),
        require_encryption=True,
    )
