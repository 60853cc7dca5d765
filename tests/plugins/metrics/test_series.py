"""Series: found by their labels, and never more than their number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter

from plugins.metrics.series import Series


def counter():
    """A counter with two labels, and how many series it has."""
    registry = CollectorRegistry()
    made = Counter("c", "A counter.", ["one", "two"], registry=registry)

    def values():
        return {
            tuple(sample.labels.values()): sample.value
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name == "c_total"
        }

    return made, values


def test_the_same_labels_are_the_same_series():
    made, values = counter()
    series = Series(made, 2)
    assert series.of("a", 200) is series.of("a", 200)
    series.of("a", 200).inc()
    series.of("b", 200).inc(2)
    assert values() == {("a", "200"): 1, ("b", "200"): 2}


@given(st.lists(st.tuples(st.text(), st.text()), max_size=60))
def test_attack_there_are_never_more_than_the_limit_and_one(pairs):
    """And nothing goes uncounted."""
    made, values = counter()
    series = Series(made, 2, most=5)
    for pair in pairs:
        series.of(*pair).inc()
    assert len(values()) <= 6
    assert sum(values().values()) == len(pairs)
    assert len(series._known) <= 6


def test_what_was_known_before_the_limit_keeps_its_series():
    made, values = counter()
    series = Series(made, 2, most=1)
    for _ in range(3):
        series.of("first", "").inc()
        series.of("late", "").inc()
    assert values() == {("first", ""): 3, ("other", "other"): 3}
