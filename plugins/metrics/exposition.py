"""What a scraper gets: the counters of all workers, and what can be measured now.

Any worker answers for all: counters and histograms are summed over the files of every place,
those of workers that have ended included, so none ever goes down. Measures are asked here,
once a scrape; they are the same in every worker, so they are not summed.
The format is negotiated as Prometheus does it: its own text, or OpenMetrics 1.0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # set by deploy/gunicorn.conf.py
PREFIX = "secureml_"
_TOTAL = "_total"


class _Measure(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def description(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


class Measured(Collector):
    """Collects what the application and its plugins measure, when asked."""

    def __init__(self, ask: Callable[[], Sequence[_Measure]]) -> None:
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        """Yield one metric for each name; what ends with `_total` is a counter."""
        found: dict[str, Metric] = {}
        seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        for measure in self._ask():
            sample = (measure.name, tuple(sorted(measure.labels.items())))
            if sample in seen:
                continue  # said twice, it would make the whole answer invalid
            seen.add(sample)
            metric = found.get(measure.name) or found.setdefault(measure.name, _metric(measure))
            metric.add_sample(f"{PREFIX}{measure.name}", dict(measure.labels), measure.value)
        yield from found.values()


def _metric(measure: _Measure) -> Metric:
    name = f"{PREFIX}{measure.name}"
    if name.endswith(_TOTAL):
        return Metric(name.removesuffix(_TOTAL), measure.description, "counter")
    return Metric(name, measure.description, "gauge")


class Exposition:
    """Answers a scrape from whichever worker it reaches."""

    def __init__(self, own: CollectorRegistry, measured: Measured) -> None:
        self._own, self._measured = own, measured

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the body and its media type, in the format that the Accept header prefers."""
        encode, media_type = choose_encoder(accept)
        folder = os.environ.get(VARIABLE)
        # Without Gunicorn there is one process, which has all the counts itself.
        counted: Collector = self._own
        if folder:
            counted = MultiProcessCollector(None, folder)  # type: ignore[no-untyped-call]  # theirs
        return encode(_Both(counted, self._measured)), media_type


class _Both(Collector):
    def __init__(self, *collectors: Collector) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        for collector in self._collectors:
            yield from collector.collect()
