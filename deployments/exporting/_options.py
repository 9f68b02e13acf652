"""What may be chosen for an export, checked as soon as it is chosen."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

import certs
from certs import CertificateFiles
from deployments._errors import DeploymentError
from deployments._options import ServeOptions
from deployments.exporting._places import Places

ANY_ADDRESS: Final = "0.0.0.0"
HTTPS_PORT: Final = 443
SERVICE: Final = "device"
UPSTREAM_PORT: Final = 8001

_LAST_PORT: Final = 65535
# RFC 1123, 2.1. No wildcard and no address: a CA that everybody trusts is asked for it, and clients are told it.
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How one deployment is exported. Raises DeploymentError, or CertificateError for a pair that is of no use.

    domain: by which clients will know it; None: the reader fills it in. certificate: where a pair is that was had
    already; None: Let's Encrypt is asked for one. group: as of `ServeOptions`, but None, the TLS stack's own choice,
    unless asked for: a group is pinned to compare what would choose different ones. service: see `Places`.
    upstream_port: where the application listens behind a proxy, on loopback; further processes at the ports after it.
    """

    domain: str | None = None
    certificate: CertificateFiles | None = None
    host: str = ANY_ADDRESS
    port: int = HTTPS_PORT
    workers: int = 1
    threads: int | None = None
    tls: str = "1.2+1.3"
    group: str | None = None
    service: str = SERVICE
    upstream_port: int = UPSTREAM_PORT

    def __post_init__(self) -> None:
        if self.domain is not None and _DOMAIN.fullmatch(self.domain) is None:
            raise DeploymentError(
                f"{self.domain!r} is no host name; write it in ASCII without scheme, port or path, as in device.example"
            )
        try:
            ipaddress.ip_address(self.host)
        except ValueError as error:
            raise DeploymentError(
                f"{self.host!r} is no address to listen at; give one of the machine's, or 0.0.0.0 for all"
            ) from error
        if self.port == 0:
            raise DeploymentError("port 0 is any free one, which nobody would find; give 1 to 65535")
        if not 1 <= self.upstream_port <= _LAST_PORT - self.workers:
            raise DeploymentError(
                f"upstream port {self.upstream_port} leaves no room for {self.workers} of them; give one from 1 to "
                f"{_LAST_PORT - self.workers}"
            )
        if self.tls == "off":
            raise DeploymentError("an export serves HTTPS; choose TLS 1.2, 1.3 or 1.2+1.3")
        _ = self.served  # which checks the rest, and the name of the service
        if self.certificate is not None:
            certs.check_pair(self.certificate, name=self.domain)

    @property
    def places(self) -> Places:
        """Where it will be."""
        return Places(self.service)

    @property
    def served(self) -> ServeOptions:
        """The same as an option of `bench serve`, by which it is rendered."""
        return ServeOptions(
            state=self.places.state,
            host=self.host,
            port=self.port,
            workers=self.workers,
            threads=self.threads,
            tls=self.tls,
            group=self.group,
        )
