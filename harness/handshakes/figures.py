"""What is measured of handshakes, and `handshakes.jsonl`: a line for each finished block, beside trials.jsonl.

A block is written whole or not at all, because its figures are compared with each other: they must be of one time. The
file carries no plan: it belongs to the run whose folder it lies in. Unknown fields are ignored; a last line without its
newline is torn and no block.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from certs import PINNED_GROUP, KeyKind, TlsVersion
from harness.errors import UserError
from harness.trials import NegotiatedTls

FORMAT: Final = 1
FILE_NAME: Final = "handshakes.jsonl"

USUAL_GROUP: Final = PINNED_GROUP
POST_QUANTUM_GROUP: Final = "X25519MLKEM768"
RECORD_BYTES: Final = (1_000, 10_000, 16_384)  # the last is the most that a record holds: RFC 8446 section 5.1

# What the post-quantum group is measured with: the keys that servers mostly have. It is TLS 1.3's alone.
POST_QUANTUM_KEYS: Final = (KeyKind.RSA_2048, KeyKind.ECDSA_P256)


class Stack(StrEnum):
    """The library that does the server's TLS."""

    STDLIB = "stdlib"
    PYOPENSSL = "pyopenssl"


class Part(StrEnum):
    """What of a connection."""

    FULL = "full"  # a handshake with a key exchange and a signature
    RESUMED = "resumed"  # a handshake with a session from before: no certificate, no signature
    WRITE = "write"  # one record
    READ = "read"


HANDSHAKES: Final = frozenset({Part.FULL, Part.RESUMED})


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Subject:
    """One thing that is measured, once in each block."""

    stack: Stack
    part: Part
    version: str = "1.3"
    key_kind: str = KeyKind.ECDSA_P256
    group: str = USUAL_GROUP  # asked for; what was agreed on stands in the figure
    record_bytes: int = 0  # of application data; 0 for a handshake


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What a subject cost in one block."""

    subject: Subject
    server_cpu_us: float  # one handshake, or one record: the median of a visit's batches, of the least disturbed visit
    batches: int
    count: int  # handshakes, or records
    resumed: int  # of the handshakes: those in which the server sent no certificate
    tls: NegotiatedTls

    @property
    def refusal(self) -> str:
        """Say why it must not be used; empty is good."""
        subject = self.subject
        if subject.part is Part.RESUMED and self.resumed != self.count:
            return f"{self.count - self.resumed} of {self.count} resumed handshakes were full ones"
        if subject.part is Part.FULL and self.resumed:
            return f"{self.resumed} of {self.count} full handshakes were resumed"
        asked = (f"TLSv{subject.version}", subject.group, subject.key_kind)
        agreed = (self.tls.version, self.tls.group, self.tls.key_kind)
        for was_asked, was_agreed in zip(asked, agreed, strict=True):
            if was_asked != was_agreed:
                return f"{was_agreed} was agreed on instead of {was_asked}"
        if not (math.isfinite(self.server_cpu_us) and self.server_cpu_us > 0 and self.count > 0):
            return "it took no measurable time"
        return ""


@dataclass(frozen=True, slots=True, order=True)
class Cannot:
    """A stack that does not do a group here."""

    stack: Stack
    group: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Everything measured once, in random order, by fresh processes."""

    number: int
    started: str  # ISO 8601
    processor: str  # its model's name
    openssl: Mapping[Stack, str]  # the version that each stack runs on
    clock_ns: float  # what reading the clock costs, which was taken off
    cannot: tuple[Cannot, ...]
    figures: tuple[Figure, ...]  # in the order in which they were measured


def subjects() -> tuple[Subject, ...]:
    """Return everything that is measured in a block, where the stacks can."""
    found = [
        Subject(stack=stack, part=part, version=version, key_kind=key_kind)
        for stack in Stack
        for part in (Part.FULL, Part.RESUMED)
        for version in TlsVersion
        for key_kind in KeyKind
    ]
    found += [
        Subject(stack=stack, part=part, key_kind=key_kind, group=POST_QUANTUM_GROUP)
        for stack in Stack
        for part in (Part.FULL, Part.RESUMED)
        for key_kind in POST_QUANTUM_KEYS
    ]
    found += [
        Subject(stack=stack, part=part, record_bytes=record_bytes)
        for stack in Stack
        for part in (Part.WRITE, Part.READ)
        for record_bytes in RECORD_BYTES
    ]
    return tuple(found)


def read_blocks(folder: Path) -> tuple[Block, ...]:
    """Read a run's blocks, in order; none where it did not measure handshakes. Raises UserError."""
    path = folder / FILE_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", hint="see who may read it") from error
    return parse_blocks(data, source=str(path))


def missing_blocks(folder: Path, count: int) -> tuple[int, ...]:
    """Return which of so many blocks a run does not have yet. Raises UserError."""
    done = {block.number for block in read_blocks(folder)}
    return tuple(number for number in range(count) if number not in done)


def parse_blocks(data: bytes, *, source: str) -> tuple[Block, ...]:
    """Parse the whole file. source names it in errors. Raises UserError."""
    blocks: dict[int, Block] = {}
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):  # what follows the last newline is empty or torn
        block = _parse_line(line, f"{source}, line {number}")
        if block.number in blocks:
            raise UserError(
                f"{source}, line {number}: block {block.number} is there twice", hint="delete one of the two lines"
            )
        blocks[block.number] = block
    return tuple(blocks[number] for number in sorted(blocks))


def append_block(folder: Path, block: Block) -> None:
    """Write a block's line; when this returns it is on disk. A torn last line is cut off first. Raises UserError."""
    path = folder / FILE_NAME
    line = json.dumps(block_to_json(block), separators=(",", ":")).encode() + b"\n"
    try:
        with path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            rest = memoryview(line)
            while rest:  # an unbuffered file may take a part only
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror})", hint="make room; what finished is kept"
        ) from error


def _parse_line(line: bytes, where: str) -> Block:
    try:
        content = json.loads(line)
        written_as = content["format"]
        block = block_from_json(content) if written_as == FORMAT else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"{where} is no block of handshakes ({reason})", hint="delete the line to use the rest"
        ) from error
    if block is None:
        raise UserError(
            f"{where} has format {written_as!r}, this version reads format {FORMAT}",
            hint="read it with the version that wrote it",
        )
    return block


def block_to_json(block: Block) -> dict[str, Any]:
    """Return a block's line as an object."""
    return {
        "format": FORMAT,
        "block": block.number,
        "started": block.started,
        "processor": block.processor,
        "openssl": {str(stack): version for stack, version in block.openssl.items()},
        "clock_ns": block.clock_ns,
        "cannot": [{"stack": each.stack, "group": each.group, "why": each.why} for each in block.cannot],
        "figures": figures_to_json(block.figures),
    }


def block_from_json(content: Mapping[str, Any]) -> Block:
    """Read a block's object. Raises KeyError, TypeError, ValueError or AttributeError."""
    return Block(
        number=int(content["block"]),
        started=str(content["started"]),
        processor=str(content["processor"]),
        openssl={Stack(stack): str(version) for stack, version in content["openssl"].items()},
        clock_ns=float(content["clock_ns"]),
        cannot=tuple(Cannot(Stack(each["stack"]), str(each["group"]), str(each["why"])) for each in content["cannot"]),
        figures=tuple(figure_from_json(each) for each in content["figures"]),
    )


def figures_to_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Return figures as objects."""
    return [
        {
            **subject_to_json(figure.subject),
            "server_cpu_us": round(figure.server_cpu_us, 3),
            "batches": figure.batches,
            "count": figure.count,
            "resumed": figure.resumed,
            "tls": {
                "version": figure.tls.version,
                "cipher": figure.tls.cipher,
                "group": figure.tls.group,
                "key_kind": figure.tls.key_kind,
            },
        }
        for figure in figures
    ]


def figure_from_json(content: Mapping[str, Any]) -> Figure:
    """Read a figure's object. Raises KeyError, TypeError or ValueError."""
    tls = content["tls"]
    return Figure(
        subject=subject_from_json(content),
        server_cpu_us=float(content["server_cpu_us"]),
        batches=int(content["batches"]),
        count=int(content["count"]),
        resumed=int(content["resumed"]),
        tls=NegotiatedTls(
            version=str(tls["version"]),
            cipher=str(tls["cipher"]),
            group=tls["group"] and str(tls["group"]),
            key_kind=str(tls["key_kind"]),
        ),
    )


def subject_to_json(subject: Subject) -> dict[str, Any]:
    """Return a subject as an object."""
    return {
        "stack": str(subject.stack),
        "part": str(subject.part),
        "version": subject.version,
        "key_kind": str(subject.key_kind),
        "group": subject.group,
        "record_bytes": subject.record_bytes,
    }


def subject_from_json(content: Mapping[str, Any]) -> Subject:
    """Read a subject's object. Raises KeyError, TypeError or ValueError."""
    return Subject(
        stack=Stack(content["stack"]),
        part=Part(content["part"]),
        version=str(content["version"]),
        key_kind=str(content["key_kind"]),
        group=str(content["group"]),
        record_bytes=int(content["record_bytes"]),
    )
