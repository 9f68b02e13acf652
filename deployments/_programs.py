"""Programs of the system: where they are."""

import os
import shutil
from typing import Final

_SERVERS: Final = "/usr/sbin"  # Debian keeps servers where only root's path leads


def which(name: str) -> str | None:
    """Return the path of a program; None: it is not installed."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), _SERVERS)))
