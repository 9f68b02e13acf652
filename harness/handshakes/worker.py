"""`python -m harness.handshakes.worker`: measures what it is told to, one subject a line, until its input ends.

A process of its own for each TLS stack and group, because a group is set for a whole process (OPENSSL_CONF) and because
where a process happens to have its memory moves its figures by some per cent: each block has fresh ones.

In: a line with the stack, the group, the certificates and the processors to stay on; then a subject a line. Out: a line
each: what the stack is and whether it can do the group, then a figure a line. Whatever goes wrong ends the process; the
last line of its standard error says why.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from OpenSSL import SSL

from certs import CertificateFiles, KeyKind, TlsVersion
from harness.handshakes.endpoints import Client, ServerEnd, openssl_version, server_ends
from harness.handshakes.figures import Part, Stack, Subject, figures_to_json, subject_from_json
from harness.handshakes.timing import DEFAULT_LEAST_S, Stopwatch, measure


def main() -> None:
    """Answer line by line."""
    order = json.loads(sys.stdin.readline())
    os.sched_setaffinity(0, order["cpus"])
    stack, ca_file = Stack(order["stack"]), Path(order["ca_file"])
    certificates = {
        KeyKind(kind): CertificateFiles(chain=Path(chain), key=Path(key))
        for kind, (chain, key) in order["certificates"].items()
    }
    stopwatch = Stopwatch()

    @cache
    def servers(kind: str) -> Callable[[], ServerEnd]:
        return server_ends(stack, certificates[KeyKind(kind)])

    @cache
    def client(version: str) -> Client:
        return Client(ca_file, TlsVersion(version))

    usual = Subject(stack=stack, part=Part.FULL, group=order["group"])
    _answer(
        {
            "openssl": openssl_version(stack),
            "clock_ns": stopwatch.overhead_ns,
            "cannot": cannot(usual, lambda: servers(usual.key_kind), lambda: client(usual.version), stopwatch),
        }
    )
    for line in sys.stdin:
        content = json.loads(line)
        subject = subject_from_json(content["subject"])
        figure = measure(
            subject,
            servers(subject.key_kind),
            client(subject.version),
            stopwatch,
            least_s=content.get("least_s", DEFAULT_LEAST_S),
        )
        _answer(figures_to_json([figure])[0])


def cannot(
    usual: Subject, servers: Callable[[], Callable[[], ServerEnd]], client: Callable[[], Client], stopwatch: Stopwatch
) -> str:
    """Try a handshake with the process's group; say why it cannot be had, or nothing."""
    try:
        figure = measure(usual, servers(), client(), stopwatch, least_s=0.0)
    except (ssl.SSLError, SSL.Error) as error:
        return f"its OpenSSL {openssl_version(usual.stack)} refuses the group ({_reason(error)})"
    if figure.tls.group != usual.group:
        return f"its OpenSSL {openssl_version(usual.stack)} does not know the group: {figure.tls.group} was agreed on"
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][-1][-1])
    return getattr(error, "reason", None) or str(error) or type(error).__name__


def _answer(content: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
