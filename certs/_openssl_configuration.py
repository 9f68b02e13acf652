"""The text of an OPENSSL_CONF file, which sets the key-exchange group of every TLS context in a process.

This is the one mechanism for it. It works whoever makes the context (gunicorn, Hypercorn and uvicorn make their own),
and in both libraries at once, each of which reads the file with its own OpenSSL. Setting the group in our contexts
instead would reach our servers alone, and pyOpenSSL cannot: its `set_tmp_ecdh` knows no X25519.

Why it matters: left alone, pyOpenSSL 26 (OpenSSL 4) and a client that can do it agree on X25519MLKEM768, a
post-quantum hybrid, where the standard library's OpenSSL 3.0 agrees on X25519. Two stacks compared so differ in
cryptography first.
"""

import re
from typing import Final

from certs._errors import CertificateError

PINNED_GROUP: Final = "X25519"

# A list of group names as SSL_CONF_cmd(3) has it, without OpenSSL 3.5's punctuation, which older ones refuse.
_GROUPS: Final = re.compile(r"[A-Za-z0-9_-]+(?::[A-Za-z0-9_-]+)*")

_HEADER: Final = """\
# Read by every OpenSSL in the process whose OPENSSL_CONF names this file.
config_diagnostics = 1
openssl_conf = openssl

[openssl]
ssl_conf = ssl

[ssl]
system_default = tls

[tls]
"""


def openssl_configuration(group: str | None) -> str:
    """Return the text of an OPENSSL_CONF file that admits one key-exchange group, or several separated by colons.

    None leaves the choice to each library, with everything else the same. An unknown group is an error when
    pyOpenSSL makes a context; the standard library's OpenSSL 3.0 passes over it in silence, so that what was
    negotiated has to be recorded all the same. Raises CertificateError for what cannot be a group's name.
    """
    if group is None:
        return _HEADER
    if not _GROUPS.fullmatch(group):
        raise CertificateError(f"{group!r} cannot name a key-exchange group; write one like {PINNED_GROUP} or P-256")
    return f"{_HEADER}Groups = {group}\n"
