"""Plan and report come back as they were sent."""

from __future__ import annotations

from secureml.confinement.plan import MECHANISMS, Plan, Report


def test_a_plan_survives_its_way():
    plan = Plan("m:f", ("a", "ü\n"), {"model": 3}, None, 5, 77, {"RLIMIT_CPU": (1, 2)}, ("/lib",),
                ("/x",), {"secureml": "/s"}, MECHANISMS, ("landlock",), None)  # fmt: skip
    again = Plan.decode(plan.encode())
    assert again._replace(
        arguments=tuple(again.arguments), readable=tuple(again.readable),
        search_path=tuple(again.search_path), mechanisms=tuple(again.mechanisms),
        required=tuple(again.required), resources={"RLIMIT_CPU": (1, 2)},
    ) == plan  # fmt: skip
    assert "\n" not in plan.encode()


def test_a_report_survives_its_way():
    report = Report(("landlock",), {"seccomp": "no"}, 7, True)
    assert Report.decode(report.encode()) == report
