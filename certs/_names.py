"""What a certificate is good for: DNS names and addresses, as a subjectAltName holds them (RFC 5280, 4.2.1.6).

    name     = [ "*." ] label *( "." label )        RFC 1123, 2.1; the wildcard as in RFC 9525, 6.3
    label    = alnum [ *61( alnum / "-" ) alnum ]   at most 63 octets, a name at most 253

The pattern departs from it in admitting the underscore, which the names of containers have, and in nothing else.
Names in other scripts are converted (IDNA), because a certificate holds ASCII.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from cryptography import x509

from certs._errors import CertificateError

_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_NAME_LENGTH: Final = 253  # RFC 1035, 2.3.4, without the root's dot


def alternative_names(names: Sequence[str]) -> list[x509.GeneralName]:
    """Return what a subjectAltName holds for names and addresses, each once, in their order.

    Raises CertificateError for none at all, or one that is neither.
    """
    if not names:
        raise CertificateError("a certificate needs at least one name or address; give it with --name")
    return list(dict.fromkeys(_alternative_name(name) for name in names))


def _alternative_name(name: str) -> x509.IPAddress | x509.DNSName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass  # then it is a host name, or wrong
    try:
        ascii_name = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_name = ""
    if len(ascii_name) > _NAME_LENGTH or not _NAME.fullmatch(ascii_name):
        raise CertificateError(
            f"{name!r} is neither a host name nor an address; write it without scheme, port or path, "
            "as in device.example, *.lab.example or 192.0.2.1"
        )
    return x509.DNSName(ascii_name)


def covers(certificate: x509.Certificate, name: str) -> bool:
    """Say whether a certificate is good for a host name or address, as clients compare them (RFC 9525, 6.3).

    A wildcard stands for one whole label. The common name does not count. Raises CertificateError for a wrong name.
    """
    wanted = _alternative_name(name)
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    if isinstance(wanted, x509.IPAddress):
        return wanted in held
    host = wanted.value.lower().removesuffix(".")
    wildcard = f"*.{host.partition('.')[2]}"
    return any(pattern.lower() in {host, wildcard} for pattern in held.get_values_for_type(x509.DNSName))


def shown_names(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses of a certificate as a person writes them; none without a subjectAltName."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in extension.value]
