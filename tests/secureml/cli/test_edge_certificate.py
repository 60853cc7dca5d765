"""A certificate that is not renewed is noticed before clients refuse it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from secureml.cli import certificates
from secureml.cli.edge_certificate import COPY, warning

if TYPE_CHECKING:
    from pathlib import Path

MADE = datetime(2026, 5, 1, tzinfo=UTC)
DAY = 86400


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    """A server whose Nginx shows a certificate of 365 days, made on the first of May."""
    for folder in ("instance", "nginx", "tls"):
        (tmp_path / folder).mkdir()
    certificates.make(tmp_path / "tls", ["ml.example.org"], MADE)
    (tmp_path / "nginx/certificate.conf").write_text(
        f"# ssl_certificate /nowhere.pem;\nssl_certificate {tmp_path}/tls/server.crt;\n"
    )
    return SimpleNamespace(
        production=True, instance=tmp_path / "instance", nginx=str(tmp_path / "nginx")
    )


def after(days: float) -> float:
    return (MADE + timedelta(days=days)).timestamp()


def test_one_that_is_renewed_in_time_is_no_warning(settings: Any) -> None:
    assert warning(settings, after(344)) == ""


def test_one_that_ends_soon_is_named_with_its_day_and_what_to_do(settings: Any) -> None:
    said = warning(settings, after(346))
    assert "tls/server.crt: the certificate ends on 2027-04-30 23:55 UTC, in 18 days; fix: " in said
    assert "`certbot renew`" in said


def test_one_that_has_ended_is_said_to_be_refused(settings: Any) -> None:
    assert "has ended on 2027-04-30" in warning(settings, after(366))


def test_where_the_service_may_not_read_it_the_copy_is_read(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "tls/server.crt").rename(settings.instance / COPY)
    assert f"{settings.instance}/{COPY}: the certificate ends on" in warning(settings, after(346))
    (settings.instance / COPY).write_text("no certificate")
    assert warning(settings, after(346)) == ""
    (tmp_path / "nginx/certificate.conf").unlink()
    assert warning(settings, after(346)) == ""


def test_of_a_short_life_two_ninths_are_enough(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of six days is renewed two days before its end; a warning all the time says nothing."""
    monkeypatch.setattr(certificates, "SERVER_DAYS", 6)
    certificates.make(settings.instance, ["ml.example.org"], MADE)
    (settings.instance / "server.crt").replace(tmp_path / "tls/server.crt")
    assert warning(settings, after(4.6)) == ""
    assert "in 1 days" in warning(settings, after(4.8))


def test_in_development_nginx_of_the_machine_is_not_ours(settings: Any) -> None:
    settings.production = False
    assert warning(settings, after(366)) == ""
