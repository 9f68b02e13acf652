"""The state folder: CA, certificates, users, first password, nonce key, database.

This module alone knows its layout:

    ca/ca.pem, ca/ca-key.pem           made and kept by certs
    certificates/KIND/chain.pem, key.pem
    credentials                        one line, user:password, 0600: the first user's, drawn at random
    users                              htdigest lines of that user; more may be added
    nonce-key                          hexadecimal, 0600: signs Digest nonces
    device.sqlite3                     the datastore, unless another one is set
    memory-stores/                     which processes keep used nonces in their own memory (device_api.siblings)
    lock                               held while anything of the above is made

Several workers start at once, so all is made under the lock, each file whole, and what exists is kept.
Imports only the standard library, certs and digest_auth: the load generator and the harness read this too.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import certs
from device_api._files import locked, write_atomically
from digest_auth import PLAIN_ALGORITHMS, htdigest_lines

FIRST_USER: Final = "admin"
DEFAULT_REALM: Final = "network-device"
_PASSWORD_BYTES: Final = 18  # 24 characters, 144 bits: no guess will ever find it, not even from its MD5
_NONCE_KEY_BYTES: Final = 32  # as long as the output of HMAC-SHA256: a longer one adds nothing


class StateError(ValueError):
    """A state folder that cannot be made or read; the message is one whole line."""


@dataclass(frozen=True, slots=True)
class StateLayout:
    """Where everything in a state folder is, whether it exists or not."""

    folder: Path

    @property
    def ca_file(self) -> Path:
        """The CA's certificate, which clients trust."""
        return self.folder / "ca" / "ca.pem"

    @property
    def users_file(self) -> Path:
        """Who may come in (htdigest lines)."""
        return self.folder / "users"

    @property
    def credentials_file(self) -> Path:
        """The first user and password, for `read_credentials`."""
        return self.folder / "credentials"

    @property
    def database(self) -> Path:
        """The SQLite file of the default datastore."""
        return self.folder / "device.sqlite3"

    @property
    def nonce_key_file(self) -> Path:
        """The key that signs Digest nonces."""
        return self.folder / "nonce-key"

    @property
    def lock_file(self) -> Path:
        """Held by whoever makes something in the folder."""
        return self.folder / "lock"


@dataclass(frozen=True, slots=True)
class DeviceState(StateLayout):
    """A state folder in which everything exists."""

    nonce_key: bytes

    def certificate(self, kind: certs.KeyKind) -> certs.CertificateFiles:
        """Return the server's certificate of a kind, made or renewed when need be.

        Raises StateError, or certs.CertificateError.
        """
        try:
            with locked(self.lock_file):
                return certs.ensure_certificate(self.folder, kind)
        except OSError as error:
            raise _unusable(self.folder, error) from error


def open_state(folder: Path, *, realm: str = DEFAULT_REALM) -> DeviceState:
    """Make what a state folder lacks, and return it. Any number of processes may do so at once.

    Raises StateError when it cannot be written or holds something broken, certs.CertificateError for its CA.
    """
    layout = StateLayout(folder.absolute())  # a server may change its working directory afterwards
    try:
        layout.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(layout.lock_file):
            certs.ensure_ca(layout.folder)
            _ensure_users(layout, realm)
            nonce_key = _ensure_nonce_key(layout.nonce_key_file)
    except OSError as error:
        raise _unusable(folder, error) from error
    return DeviceState(layout.folder, nonce_key)


def read_credentials(path: Path) -> tuple[str, str]:
    """Read a user and a password from the one line `user:password` of a file. Raises StateError."""
    try:
        line = path.read_text(encoding="utf-8").rstrip("\r\n")
    except FileNotFoundError:
        raise StateError(f"{path}: no credentials there; start a device with this state folder once") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"{path}: cannot read the credentials ({_reason(error)})") from error
    user, colon, password = line.partition(":")
    if not (user and colon and password) or "\n" in line:
        raise StateError(f"{path}: expected one line 'user:password'")
    return user, password


def _ensure_users(layout: StateLayout, realm: str) -> None:
    """Draw a first password, unless somebody has seen to the users already. No default one exists.

    The users file comes last: a start that is killed in between goes on from the credentials that it left.
    """
    if layout.users_file.exists():
        return
    if not layout.credentials_file.exists():
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        write_atomically(layout.credentials_file, f"{FIRST_USER}:{password}\n", mode=0o600)
    user, password = read_credentials(layout.credentials_file)
    # A line for each algorithm, so that turning MD5 on (wget, urllib) is a matter of one setting.
    lines = htdigest_lines(user, realm, password, [each for each in PLAIN_ALGORITHMS if each.is_available])
    write_atomically(layout.users_file, "".join(f"{line}\n" for line in lines), mode=0o600)


def _ensure_nonce_key(path: Path) -> bytes:
    if not path.exists():
        write_atomically(path, f"{secrets.token_hex(_NONCE_KEY_BYTES)}\n", mode=0o600)
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        key = b""
    if len(key) < _NONCE_KEY_BYTES:
        raise StateError(
            f"{path}: not a key of {_NONCE_KEY_BYTES} bytes in hexadecimal; delete it to have a new one made"
        )
    return key


def _unusable(folder: Path, error: OSError) -> StateError:
    return StateError(f"state folder {folder}: {_reason(error)}; make it writable or choose another with --state")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    return str(error)
