"""When the certificate ends that Nginx shows: said by ``secureml check`` before it is too late.

Certbot renews when a third of a certificate's life is left: one that has less than two ninths left
(20 days of 90) is one that is not renewed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secureml.settings import Settings

COPY = "edge.crt"  # in the instance folder: the service may not read what belongs to certbot
SOON = 20 * 86400.0  # seconds; as the alert SecureMLCertificateEnds
_LEFT = 2 / 9  # of its life, where that is shorter than 90 days


def warning(settings: Settings, now: float) -> str:
    """Return one line if the certificate ends soon or has ended, else ""; ``now`` is epoch seconds.

    In production alone, and of a certificate that this user may read: the one that Nginx names, or
    the copy of it. In development `secureml serve` looks at its own.
    """
    if not settings.production:
        return ""
    for file in _candidates(settings):
        found = _validity(file)
        if found is not None:
            begins, ends = found
            return (
                _words(file, ends, now) if ends - now < min(SOON, (ends - begins) * _LEFT) else ""
            )
    return ""


def _candidates(settings: Settings) -> list[Path]:
    copy = settings.instance / COPY
    try:
        text = (Path(settings.nginx) / "certificate.conf").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return [copy]
    lines = [line.split() for line in text.splitlines()]
    named = [words[1].rstrip(";").strip('"') for words in lines if words[:1] == ["ssl_certificate"]]
    return [*map(Path, named[:1]), copy]


def _validity(file: Path) -> tuple[float, float] | None:
    """Return when a certificate begins and ends, None where none can be read."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()


def _words(file: Path, ends: float, now: float) -> str:
    date = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d %H:%M UTC")
    fix = "fix: `certbot renew` says why it is not renewed; with a private authority, "
    fix += "`systemctl start secureml-certificate`"
    if ends <= now:
        return f"{file}: the certificate has ended on {date}, and clients refuse it; {fix}"
    return f"{file}: the certificate ends on {date}, in {int((ends - now) // 86400)} days; {fix}"
