"""What Apache's two uses have in common: in front of an application server, and with mod_wsgi in place of one."""

from pathlib import Path
from typing import Final

from deployments._programs import which
from deployments._types import Program

PROGRAM: Final = Program("apache2", "apache2")
FILE: Final = "apache.conf"
# Where Debian's package puts them: Apache has to be told the path of each.
MODULES_FOLDER: Final = "/usr/lib/apache2/modules"
# To hang up on clients that stall, TLS, its sessions in shared memory, HTTP/2. Without authz_core nobody is let in.
MODULES: Final = ("mpm_event", "authz_core", "reqtimeout", "ssl", "socache_shmcb", "http2")
WARNING: Final = "256 clients that stall in the TLS handshake stop all others for 10 s"
# Of targets that others hand on.
REFUSES: Final = frozenset({"/%"})
ANSWERS: Final = frozenset({"*"})


def command(folder: Path) -> tuple[str, ...]:
    """Return the command that starts it with the file in a folder, in the foreground."""
    return (which(PROGRAM.name) or PROGRAM.name, "-d", str(folder), "-f", FILE, "-DFOREGROUND")
