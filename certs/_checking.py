"""Certificates in files, folders and servers, judged as a whole: whether it may go on like this for some days."""

import datetime as dt
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from certs import _findings as find
from certs._description import common_name
from certs._errors import CertificateError
from certs._files import CertificateFiles, read_bytes
from certs._findings import Finding
from certs._layout import Layout, issued_by
from certs._pairs import belong_together, read_certificates, read_key
from certs._peer import NoHandshakeError, parse_server, presented
from certs._trust import Trust, follow


@dataclass(frozen=True, slots=True)
class InFiles:
    """A certificate in a file, with the file of its key if that is known."""

    chain: Path
    key: Path | None = None
    key_needed: bool = False  # a server's in the folder: without it nothing can be served

    def __str__(self) -> str:
        """Return what people call it."""
        return str(self.chain)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is reached over the network."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return what people call it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class StrayKey:
    """A file that was named as somebody's key and is nobody's."""

    key: Path
    certificates: tuple[Path, ...]

    def __str__(self) -> str:
        """Return what people call it."""
        return str(self.key)


Target: TypeAlias = InFiles | Server | StrayKey


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about a target."""

    target: Target
    leaf: x509.Certificate | None  # None if there was none to look at
    leads_to: str  # the trusted certificate that it leads to; empty if none, or if it is itself trusted
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standard:
    """What certificates are held against."""

    now: dt.datetime
    margin: dt.timedelta  # they have to be valid for so long
    trusts: Sequence[Trust]
    names: Sequence[str]  # servers' certificates have to be good for these; of a server: its host if there are none
    timeout_s: float
    ca: x509.Certificate | None  # ours, to know whose renewal it is
    renew: str  # the command that renews what is in the folder

    def advice(self, certificate: x509.Certificate, folder: Path | None) -> str:
        """Say who has to renew a certificate; `folder`: where it is, if it is not in the CA's own folder."""
        if self.ca is not None and issued_by(self.ca, certificate) and certificate != self.ca:
            return f"renew it: {self.renew}{'' if folder is None else f' {folder}'}"
        return find.issuer_s_advice(certificate)


# What the two files are called: by us, by certbot, by the openssl line of the guides.
_USUAL_NAMES = (("chain.pem", "key.pem"), ("fullchain.pem", "privkey.pem"), ("cert.pem", "key.pem"))


def folder_s_targets(layout: Layout) -> list[Target]:
    """Return everything in a CA's folder. Raises CertificateError if there is no CA."""
    if not layout.ca.chain.exists():
        raise CertificateError(
            f"{layout.folder}: no CA there; name files or host:port, or the CA's folder with --state"
        )
    targets: list[Target] = [InFiles(layout.ca.chain, layout.ca.key if layout.ca.key.exists() else None)]
    for files in layout.issued():
        server = files.chain.parent.parent != layout.clients
        targets.append(InFiles(files.chain, files.key if files.key.exists() else None, key_needed=server))
    return targets


def named_targets(names: Sequence[str]) -> list[Target]:
    """Return what was named: files, folders, servers; a key goes with its certificate.

    Raises CertificateError for what is none of them.
    """
    targets: list[Target] = []
    keys: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            targets.append(_in_folder(path))
        elif path.exists():
            if _holds_a_key_alone(path):
                keys.append(path)
            else:
                targets.append(InFiles(path))
        elif (server := parse_server(name)) is not None:
            targets.append(Server(*server))
        else:
            raise CertificateError(f"{name}: no such file; a server is written host:port, as in localhost:8443")
    return _with_keys(targets, keys)


def _in_folder(folder: Path) -> InFiles:
    for chain, key in _USUAL_NAMES:
        if (folder / chain).exists():
            return InFiles(folder / chain, folder / key if (folder / key).exists() else None)
    chains = ", ".join(chain for chain, _ in _USUAL_NAMES)
    raise CertificateError(
        f"{folder}: holds none of {chains}; name a file, or if it is a CA's folder: --state {folder}"
    )


def _holds_a_key_alone(path: Path) -> bool:
    content = read_bytes(path)
    return b"PRIVATE KEY-----" in content and b"BEGIN CERTIFICATE-----" not in content


def _with_keys(targets: Sequence[Target], keys: Sequence[Path]) -> list[Target]:
    """Give each key to the certificate that it belongs to; one that belongs to none is a target of its own."""
    owners: dict[int, Path] = {}
    strays = []
    for path in keys:
        owner = next((index for index, target in enumerate(targets) if _is_key_of(path, target)), None)
        if owner is None:
            certificates = tuple(target.chain for target in targets if isinstance(target, InFiles))
            strays.append(StrayKey(path, certificates))
        else:
            owners[owner] = path
    return [
        InFiles(target.chain, owners[index]) if isinstance(target, InFiles) and index in owners else target
        for index, target in enumerate(targets)
    ] + strays


def _is_key_of(path: Path, target: Target) -> bool:
    if not isinstance(target, InFiles):
        return False
    try:
        return belong_together(read_certificates(target.chain)[0].public_key(), read_key(path))
    except CertificateError:
        return False  # what is wrong with either is said when it is judged


def judge(target: Target, standard: Standard) -> Verdict:
    """Look at one target."""
    match target:
        case InFiles():
            return _judge_files(target, standard)
        case Server():
            return _judge_server(target, standard)
        case StrayKey():
            return Verdict(target, None, "", tuple(_stray(target)), ())


def _stray(target: StrayKey) -> Iterator[Finding]:
    try:
        read_key(target.key)
    except CertificateError as error:
        yield _as_finding("unreadable-key", error, target.key)
        return
    if target.certificates:
        others = ", ".join(map(str, target.certificates))
        yield Finding("key-mismatch", f"this key does not belong to {others}", "name the key that it was made with")
    else:
        yield Finding("key-mismatch", "a key, and no certificate was named with it", "name its certificate as well")


def _judge_files(target: InFiles, standard: Standard) -> Verdict:
    try:
        chain = read_certificates(target.chain)
    except CertificateError as error:
        return Verdict(target, None, "", (_as_finding("unreadable", error, target.chain),), ())
    leaf = chain[0]
    if leaf == standard.ca:
        advice = f"remove {target.chain.parent} to have a new CA made, and have clients trust that"
    else:
        advice = standard.advice(leaf, None if target.key_needed else target.chain.parent)
    found, notes, leads_to = _judge_chain(chain, find.role(leaf), standard.names, standard, advice)
    key = target.key if target.key is not None else _key_within(target.chain)
    keys = _judge_key(key, chain) if key is not None else _no_key(target)
    return Verdict(target, leaf, leads_to, (*found, *keys), notes)


def _key_within(path: Path) -> Path | None:
    """Return a file that holds a certificate and its key, as haproxy has it."""
    return path if b"PRIVATE KEY-----" in read_bytes(path) else None


def _no_key(target: InFiles) -> Iterator[Finding]:
    if target.key_needed:
        files = CertificateFiles(target.chain, target.chain.with_name("key.pem"))
        yield Finding(
            "no-key", f"its key {files.key} is not there", "bring it back, or issue anew: python -m certs issue --force"
        )


def _judge_key(path: Path, chain: Sequence[x509.Certificate]) -> Iterator[Finding]:
    try:
        key = read_key(path)
    except CertificateError as error:
        yield _as_finding("unreadable-key", error, path)
        return
    if not belong_together(chain[0].public_key(), key):
        yield _mismatch(path, chain, key)
    if path.stat().st_mode & stat.S_IRWXO:
        yield Finding("key-open", f"its key {path} is open to every user of this machine", f"chmod o= {path}")


def _mismatch(path: Path, chain: Sequence[x509.Certificate], key: PrivateKeyTypes) -> Finding:
    if any(belong_together(other.public_key(), key) for other in chain[1:]):
        return Finding(
            "key-mismatch", "the server's certificate is not the first in the file", f"put that of {path} first"
        )
    return Finding("key-mismatch", f"the key {path} does not belong to it", "bring the key that it was made with")


def _judge_server(target: Server, standard: Standard) -> Verdict:
    names = list(standard.names) or [target.host]
    try:
        shown = presented(target.host, target.port, name=names[0], timeout_s=standard.timeout_s)
    except NoHandshakeError as error:
        return Verdict(target, None, "", (error.finding,), ())
    leaf = shown.chain[0]
    advice = standard.advice(leaf, None)
    found, notes, leads_to = _judge_chain(shown.chain, "server", names, standard, f"where the server runs, {advice}")
    return Verdict(target, leaf, leads_to, found, notes)


def _judge_chain(
    chain: Sequence[x509.Certificate], role: str, names: Sequence[str], standard: Standard, advice: str
) -> tuple[tuple[Finding, ...], tuple[str, ...], str]:
    """Judge a leaf for its role, and what leads from it to what is trusted: findings, notes, whom it leads to."""
    leaf = chain[0]
    led = follow(chain, standard.trusts)
    found = list(find.validity(leaf, standard.now, standard.margin, advice))
    if led.finding is not None and role != "CA":
        found.append(led.finding)
    if role == "server":
        found += find.names(leaf, names)
    found += find.purpose(leaf, role)
    found += find.strength(leaf)
    for other in led.whole[1:] or chain[1:]:
        whose = f"the certificate of {common_name(other.subject)} above it "
        found += find.validity(other, standard.now, standard.margin, "have a chain with a newer one issued", whose)
        found += find.strength(other, whose)
    return tuple(found), tuple(find.notes(leaf, role)), led.to if led.whole[1:] else ""


def _as_finding(code: str, error: CertificateError, path: Path) -> Finding:
    problem, _, advice = str(error).removeprefix(f"{path}: ").partition("; ")
    return Finding(code, problem, advice or "name another file")
