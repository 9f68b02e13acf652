"""Nonces that the server need not remember: what it must know of one stands in the nonce, under its own HMAC.

Layout, 42 octets, written in base64url without padding (56 characters):

    version 1 | epoch 8 | issued 8, µs since 1970, big-endian | random 8 | spare 1 (zero) | HMAC-SHA-256, first 16

The HMAC covers the realm as well, so a nonce of one realm is worth nothing in another. The epoch is the identity
of the replay table that counts this nonce's uses, drawn at random when the table is made: a genuine nonce of another
epoch (after a restart, or when a shared table was lost) can be told from a forged one, and is simply too old.
RFC 7616 section 5.4 asks for nonces that only the server can make; section 3.3 leaves the format to it.
"""

import binascii
import hmac
import os
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import NamedTuple

from digest_auth._replay import EPOCH_LENGTH, ReplayTable

LENGTH = 56
"""Characters of a nonce."""

_VERSION = 1
_BODY = struct.Struct(">B8sQ8sx")
_BLOCK_LENGTH = 64  # of SHA-256
_MAC_LENGTH = 16  # 128 bits: RFC 2104 section 5 asks for no fewer than half of the hash's


class Issued(NamedTuple):
    """What a genuine nonce says of itself."""

    identity: bytes  # names the nonce among those of its epoch
    issued_us: int  # µs since 1970 on the clock that the server passes in
    epoch: bytes  # of the replay table that it was issued under


class Nonces:
    """Makes and recognises the nonces of one realm.

    key: secret, 16 octets or more (32 from os.urandom are usual), may be kept and shared by servers. table: the replay
    store that counts their uses; its epoch goes into each.
    """

    def __init__(self, key: bytes, table: ReplayTable, realm: str) -> None:
        if len(key) < 16:
            raise ValueError("the nonce key has fewer than 16 octets: make one with os.urandom(32)")
        if len(table.epoch) != EPOCH_LENGTH:
            raise ValueError(f"an epoch has {EPOCH_LENGTH} octets, not {len(table.epoch)}")
        self._table = table
        self._realm = realm.encode()
        # HMAC of RFC 2104, its two keyed blocks hashed once: half the time of hmac.digest, which makes both anew.
        block = (key if len(key) <= _BLOCK_LENGTH else sha256(key).digest()).ljust(_BLOCK_LENGTH, b"\0")
        self._inner = sha256(bytes(octet ^ 0x36 for octet in block))
        self._outer = sha256(bytes(octet ^ 0x5C for octet in block))

    def issue(self, now_s: float) -> str:
        """A nonce never given out before. Nothing is stored."""
        body = _BODY.pack(_VERSION, self._table.epoch, int(now_s * 1e6), os.urandom(8))
        return urlsafe_b64encode(body + self._mac(body)).decode("ascii")

    def recognise(self, nonce: str) -> Issued | None:
        """What the nonce says, or None when this realm's key did not make it."""
        if len(nonce) != LENGTH:
            return None
        try:
            octets = urlsafe_b64decode(nonce)
        except (ValueError, binascii.Error):
            return None
        body, mac = octets[: _BODY.size], octets[_BODY.size :]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        version, epoch, issued_us, random = _BODY.unpack(body)
        if version != _VERSION:
            return None
        return Issued(random + body[9:17], issued_us, epoch)

    def _mac(self, body: bytes) -> bytes:
        inner = self._inner.copy()
        inner.update(body + self._realm)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()[:_MAC_LENGTH]
