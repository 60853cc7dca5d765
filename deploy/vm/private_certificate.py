"""A certificate of a private authority, made where it is missing or will soon end.

python private_certificate.py FOLDER [HOST]

Without HOST it is for the names of the certificate that is there. Prints what was made, and nothing
where nothing was. The authority (ca.crt, ca.key) is kept, so that clients who trust it notice no
renewal.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cryptography import x509

from secureml.cli import certificates

RENEW = timedelta(days=30)  # before the end


def renew(folder: Path, hosts: list[str], now: datetime) -> bool:
    """Make the pair of the server where none is or its end is near; tell whether it was made.

    Without ``hosts``, raises FileNotFoundError where no certificate is.
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    file = folder / "server.crt"
    if file.exists() or not hosts:
        found = x509.load_pem_x509_certificate(file.read_bytes())
        hosts = hosts or names_of(found)
        if found.not_valid_after_utc - now < RENEW or names_of(found) != hosts:
            for name in ("server.crt", "server.key"):
                (folder / name).rename(folder / f"{name}.before")
    return certificates.make(folder, hosts, now)


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses that a certificate is for, in order."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


if __name__ == "__main__":
    where = Path(sys.argv[1])
    if renew(where, sys.argv[2:], datetime.now(UTC)):
        print(f"{where}/server.crt, of the private authority {where}/ca.crt")
