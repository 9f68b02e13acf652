"""Certificates as a table for a person to read."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from certs._keys import key_kind
from certs._names import shown_names

_HEADINGS: Final = ("FILE", "SUBJECT", "KEY", "VALID UNTIL", "DAYS LEFT", "ISSUER", "NAMES")
_DAYS_LEFT: Final = _HEADINGS.index("DAYS LEFT")  # a number: to the right


def table(certificates: Iterable[tuple[Path, x509.Certificate]], now: dt.datetime) -> Iterator[str]:
    """Yield a line of headings and one for each certificate. Names come last, because they may be many."""
    rows = [_HEADINGS, *(_row(path, certificate, now) for path, certificate in certificates)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if index == _DAYS_LEFT else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def days_left(certificate: x509.Certificate, now: dt.datetime) -> int:
    """Return the whole days for which a certificate is still valid, negative once it has expired."""
    return (certificate.not_valid_after_utc - now) // dt.timedelta(days=1)


def common_name(name: x509.Name) -> str:
    """Return what people call a subject or issuer: its common name, or all of it if it has none."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _row(path: Path, certificate: x509.Certificate, now: dt.datetime) -> Sequence[str]:
    left = days_left(certificate, now)
    return (
        str(path),
        common_name(certificate.subject),
        key_kind(certificate),
        f"{certificate.not_valid_after_utc:%Y-%m-%d}",
        "expired" if left < 0 else str(left),
        "itself" if certificate.issuer == certificate.subject else common_name(certificate.issuer),
        " ".join(shown_names(certificate)) or "-",
    )
