"""Where everything of an exported service is on the machine that it is installed on: all follows from its name.

/etc/NAME           what is exported of configuration; nobody writes there but root
/etc/NAME/tls       certificate and key, put there at each renewal
/opt/NAME           Python's environment, with the application in it
/var/lib/NAME       the device's state, which the application alone reads and writes
/run/NAME           sockets and process ids of the application's server; /run/NAME-proxy: the proxy's
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certs import CertificateFiles
from deployments._errors import DeploymentError

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,23}")  # useradd takes 32 letters, of which "-proxy" needs six


@dataclass(frozen=True, slots=True)
class Places:
    """The paths and users of one service. Raises DeploymentError for a name that none can have."""

    service: str

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.service) is None:
            raise DeploymentError(
                f"{self.service!r} cannot name a service and its user; give up to 24 small letters, digits and "
                "hyphens, a letter first"
            )

    @property
    def configuration(self) -> Path:
        """The rendered files."""
        return Path("/etc", self.service)

    @property
    def tls(self) -> Path:
        """The folder of certificate and key."""
        return self.configuration / "tls"

    @property
    def certificate(self) -> CertificateFiles:
        """The pair, named as HAProxy looks for it: a certificate, and its key beside it with `.key` after the name."""
        return CertificateFiles(chain=self.tls / "certificate.pem", key=self.tls / "certificate.pem.key")

    @property
    def environment(self) -> Path:
        """Python's environment."""
        return Path("/opt", self.service)

    @property
    def python(self) -> Path:
        """The interpreter of that environment."""
        return self.environment / "bin" / "python"

    @property
    def state(self) -> Path:
        """The device's state folder."""
        return Path("/var/lib", self.service)

    @property
    def run(self) -> Path:
        """What the application's server makes and loses with each start."""
        return Path("/run", self.service)

    @property
    def proxy_run(self) -> Path:
        """What the proxy makes and loses with each start; its working folder."""
        return Path("/run", self.proxy)

    @property
    def proxy(self) -> str:
        """The proxy's service, and its user."""
        return f"{self.service}-proxy"
