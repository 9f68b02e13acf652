import hmac
from base64 import urlsafe_b64decode
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest_auth import Nonces
from digest_auth._nonces import LENGTH

KEY = b"k" * 32


@dataclass
class Table:
    epoch: bytes = b"e" * 8


TABLE = Table()


@pytest.fixture
def nonces() -> Nonces:
    return Nonces(KEY, TABLE, "realm")


class TestNonce:
    """A nonce says when it was issued and by which table it is counted, and only the key's holder can make one."""

    def test_says_when_it_was_issued(self, nonces: Nonces) -> None:
        issued = nonces.recognise(nonces.issue(1_800_000_000.25))
        assert issued is not None
        assert issued.issued_us == 1_800_000_000_250_000
        assert issued.epoch == TABLE.epoch

    def test_is_never_given_out_twice(self, nonces: Nonces) -> None:
        assert len({nonces.issue(1.0) for _ in range(1000)}) == 1000

    def test_of_another_epoch_is_genuine_and_says_so(self, nonces: Nonces) -> None:
        issued = nonces.recognise(Nonces(KEY, Table(b"f" * 8), "realm").issue(1.0))
        assert issued is not None
        assert issued.epoch == b"f" * 8

    def test_carries_the_epoch_that_its_table_has_now(self) -> None:
        table = Table()
        nonces = Nonces(KEY, table, "realm")
        before = nonces.issue(1.0)
        table.epoch = b"f" * 8  # the table was lost, and made anew
        issued = nonces.recognise(before)
        assert issued is not None
        assert issued.epoch == b"e" * 8
        again = nonces.recognise(nonces.issue(1.0))
        assert again is not None
        assert again.epoch == table.epoch

    @pytest.mark.parametrize(
        "other", [Nonces(b"K" * 32, TABLE, "realm"), Nonces(KEY, TABLE, "Realm")], ids=["another key", "another realm"]
    )
    def test_of_others_is_not_recognised(self, nonces: Nonces, other: Nonces) -> None:
        assert nonces.recognise(other.issue(1.0)) is None

    def test_with_any_character_changed_is_not_recognised(self, nonces: Nonces) -> None:
        nonce = nonces.issue(1.0)
        for place in range(LENGTH):
            for new in "A_-9=%é":
                if new != nonce[place]:
                    assert nonces.recognise(nonce[:place] + new + nonce[place + 1 :]) is None

    @pytest.mark.parametrize("length", [16, 32, 64, 65, 200])
    def test_the_end_is_an_hmac_of_sha_256_cut_to_128_bits(self, length: int) -> None:
        """RFC 2104, as Python's hmac has it, for keys shorter and longer than a block of the hash."""
        key = bytes(range(length))
        octets = urlsafe_b64decode(Nonces(key, TABLE, "realm").issue(1.0))
        assert octets[-16:] == hmac.digest(key, octets[:-16] + b"realm", "sha256")[:16]

    @given(st.text(max_size=80))
    def test_anything_else_is_not_recognised(self, text: str) -> None:
        assert Nonces(KEY, TABLE, "realm").recognise(text) is None


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 16 octets"):
        Nonces(b"short", TABLE, "realm")


def test_an_epoch_has_eight_octets() -> None:
    with pytest.raises(ValueError, match="8 octets"):
        Nonces(KEY, Table(b""), "realm")
