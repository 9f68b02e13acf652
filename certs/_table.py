"""Certificates as a table for a person to read."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509

from certs._description import common_name, days_left, is_self_issued, purposes
from certs._keys import key_kind
from certs._names import shown_names

_HEADINGS: Final = ("FILE", "SUBJECT", "FOR", "KEY", "VALID UNTIL", "DAYS LEFT", "ISSUER", "NAMES")
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


def _row(path: Path, certificate: x509.Certificate, now: dt.datetime) -> Sequence[str]:
    left = days_left(certificate, now)
    return (
        str(path),
        common_name(certificate.subject) or "-",
        ", ".join(purposes(certificate)) or "any",
        key_kind(certificate),
        f"{certificate.not_valid_after_utc:%Y-%m-%d}",
        "expired" if left < 0 else str(left),
        "itself" if is_self_issued(certificate) else common_name(certificate.issuer) or "-",
        " ".join(shown_names(certificate)) or "-",
    )
