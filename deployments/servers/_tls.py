"""What the templates need to know of TLS, the same for every server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certs import TlsVersion
from deployments._types import Site

_VERSIONS: Final = {TlsVersion.TLS_1_2: "TLSv1_2", TlsVersion.TLS_1_3: "TLSv1_3"}
_VERIFICATIONS: Final = {True: "CERT_REQUIRED", False: "CERT_OPTIONAL"}


@dataclass(frozen=True, slots=True)
class TemplateTls:
    """Paths, and names of the standard library's `ssl`, as a template prints them."""

    chain: Path | None = None  # None: plain HTTP
    key: Path | None = None
    version: str | None = None  # member of ssl.TLSVersion when only that one is served; None: the server's default
    client_ca: Path | None = None
    client_verification: str | None = None  # member of ssl.VerifyMode; None: clients are asked for no certificate

    @classmethod
    def of(cls, site: Site) -> "TemplateTls":
        """Read them off a site. Every server's default is TLS 1.2 and 1.3, and not to ask clients."""
        if site.certificate is None:
            return cls()
        only = next(iter(site.tls_versions)) if len(site.tls_versions) == 1 else None
        asked = site.client_certificates
        return cls(
            chain=site.certificate.chain,
            key=site.certificate.key,
            version=None if only is None else _VERSIONS[only],
            client_ca=None if asked is None else asked.ca,
            client_verification=None if asked is None else _VERIFICATIONS[asked.required],
        )
