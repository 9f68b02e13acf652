"""The ready file: where a server listens and who it is, there from the moment it accepts connections."""

import json
from dataclasses import dataclass
from pathlib import Path

from device_api._files import write_atomically


class ReadyFileError(ValueError):
    """A ready file that cannot be written or understood; the message is one whole line."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """One process of a deployment made of several."""

    role: str  # "proxy", "app"
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyFile:
    """What a client and an observer need to know of a running server."""

    url: str  # https://127.0.0.1:8443, without a path
    pid: int  # the root of the server's process tree
    processes: tuple[ServerProcess, ...] = ()  # of a deployment with several roots (a proxy before an app)
    ca_file: Path | None = None  # what to trust: the CA, under --adhoc the leaf itself, None without TLS
    credentials_file: Path | None = None  # None when nobody needs any, or users came from elsewhere

    def write(self, path: Path) -> None:
        """Write the file as a whole, never in part. Raises ReadyFileError."""
        document = {
            "url": self.url,
            "pid": self.pid,
            "processes": [{"role": process.role, "pid": process.pid} for process in self.processes],
            "ca_file": None if self.ca_file is None else str(self.ca_file),
            "credentials_file": None if self.credentials_file is None else str(self.credentials_file),
        }
        try:
            write_atomically(path, json.dumps(document, indent=2) + "\n", mode=0o644)
        except OSError as error:
            raise ReadyFileError(
                f"{path}: cannot write the ready file ({error.strerror}); give another path"
            ) from error

    @classmethod
    def read(cls, path: Path) -> "ReadyFile":
        """Read what `write` wrote; fields not known here are ignored. Raises ReadyFileError."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ReadyFileError(f"{path}: cannot read the ready file ({error.strerror}); is the server up?") from error
        except ValueError as error:
            raise ReadyFileError(f"{path}: not a ready file ({error})") from error
        try:
            return cls(
                url=str(document["url"]),
                pid=int(document["pid"]),
                processes=tuple(ServerProcess(str(item["role"]), int(item["pid"])) for item in document["processes"]),
                ca_file=_optional_path(document["ca_file"]),
                credentials_file=_optional_path(document["credentials_file"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ReadyFileError(f"{path}: not a ready file ({type(error).__name__}: {error})") from error


def _optional_path(value: str | None) -> Path | None:
    return None if value is None else Path(value)
