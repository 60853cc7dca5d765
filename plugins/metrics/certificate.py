"""From when until when certificates hold, read when somebody looks: they are renewed in place."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

log = logging.getLogger("secureml.plugins.metrics")


class Validity(NamedTuple):
    """The first certificate of a file; times are seconds since the epoch."""

    file: str
    begins: float
    ends: float


def validities(files: Sequence[str], folder: Path) -> Iterator[Validity]:
    """Yield one for each file that is there and can be read; relative ones are in ``folder``."""
    for file in files:
        try:
            found = x509.load_pem_x509_certificate((folder / file).read_bytes())
        except FileNotFoundError:
            continue  # in production the certificate is Nginx's, and often out of reach
        except (OSError, ValueError) as error:
            log.warning("the certificate %s cannot be read (%s)", file, type(error).__name__)
            continue
        yield Validity(
            file, found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
        )
