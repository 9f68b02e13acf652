"""What the templates need to know of TLS, the same for every server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certs import TlsVersion
from deployments._types import Site

_MEMBERS: Final = {TlsVersion.TLS_1_2: "TLSv1_2", TlsVersion.TLS_1_3: "TLSv1_3"}  # of ssl.TLSVersion


@dataclass(frozen=True, slots=True)
class TemplateTls:
    """Paths and version as a template prints them."""

    chain: Path | None  # None: plain HTTP
    key: Path | None
    version: str | None  # member of ssl.TLSVersion when only that one is served; None: the server's default

    @classmethod
    def of(cls, site: Site) -> "TemplateTls":
        """Read them off a site. Every server's default is TLS 1.2 and 1.3."""
        if site.certificate is None:
            return cls(None, None, None)
        only = next(iter(site.tls_versions)) if len(site.tls_versions) == 1 else None
        return cls(site.certificate.chain, site.certificate.key, None if only is None else _MEMBERS[only])
