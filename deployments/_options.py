"""What may be chosen for any deployment, checked as soon as it is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from certs import KeyKind, TlsVersion
from deployments._errors import DeploymentError
from deployments._groups import USUAL_GROUP, check_group
from deployments._types import AskedOfClients
from device_api.settings import Auth, ClientCertificates

TLS_CHOICES: Final[Mapping[str, frozenset[TlsVersion]]] = {
    "1.2": frozenset({TlsVersion.TLS_1_2}),
    "1.3": frozenset({TlsVersion.TLS_1_3}),
    "1.2+1.3": frozenset(TlsVersion),
    "off": frozenset(),
}
AUTH_CHOICES: Final[tuple[str, ...]] = get_args(Auth)
CLIENT_CERTIFICATE_CHOICES: Final[tuple[str, ...]] = get_args(ClientCertificates)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How one deployment is served. Raises DeploymentError for a value that no deployment takes."""

    state: Path
    host: str = "127.0.0.1"
    port: int = 0  # any free one
    workers: int = 1
    threads: int | None = None  # None is the deployment's own default
    tls: str = "1.2+1.3"  # one of TLS_CHOICES
    auth: str = "digest"  # one of AUTH_CHOICES
    certificate_kind: KeyKind = KeyKind.ECDSA_P256
    group: str | None = USUAL_GROUP  # of the key exchange; or one of GROUPS; None leaves the choice to the TLS stack
    client_ca: Path | None = None  # PEM; clients are asked for a certificate of it
    client_certificates: str = "required"  # one of CLIENT_CERTIFICATE_CHOICES; only with client_ca
    added_cpu_us: float = 0.0  # that the device burns in every request, for a check of whatever measures it
    added_delay_ms: float = 0.0  # that it waits in every request

    def __post_init__(self) -> None:
        _check_choice("tls", self.tls, TLS_CHOICES)
        _check_choice("auth", self.auth, AUTH_CHOICES)
        _check_choice("client certificates", self.client_certificates, CLIENT_CERTIFICATE_CHOICES)
        if self.client_ca is not None and self.tls == "off":
            raise DeploymentError("clients can show a certificate only over TLS, which is off; leave out --client-ca")
        if self.client_ca is None and self.client_certificates != CLIENT_CERTIFICATE_CHOICES[0]:
            raise DeploymentError("client certificates are not asked for without a CA; name it with --client-ca")
        if not 0 <= self.port <= 65535:
            raise DeploymentError(f"port {self.port} is not a port; give 0 (any free one) to 65535")
        if self.group not in (None, USUAL_GROUP):
            check_group(self.group, tls_1_2_only=self.tls == "1.2")
        if self.threads is not None and self.threads < 1:
            raise DeploymentError(f"{self.threads} threads are too few; give 1 or more")
        if self.workers < 1:
            raise DeploymentError(f"{self.workers} workers are too few; give 1 or more")

    @property
    def tls_versions(self) -> frozenset[TlsVersion]:
        """The TLS versions that are served; none at all is plain HTTP."""
        return TLS_CHOICES[self.tls]

    @property
    def asked_of_clients(self) -> AskedOfClients | None:
        """What clients have to show; None: nothing."""
        if self.client_ca is None:
            return None
        return AskedOfClients(self.client_ca.absolute(), required=self.client_certificates == "required")


def _check_choice(what: str, value: str, choices: Mapping[str, object] | tuple[str, ...]) -> None:
    if value not in choices:
        raise DeploymentError(f"{what} {value!r} is not one of {', '.join(choices)}")
