import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quart_impl.server._hello import is_http, is_whole, offered_protocols


def client_hello(*protocols: str) -> bytes:
    """What Python's own client says first."""
    context = ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(protocols)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="device.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


class TestClientHello:
    @pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2", "http/1.1"), ("spdy/1", "x" * 255)])
    def test_what_it_offers(self, protocols: tuple[str, ...]) -> None:
        assert offered_protocols(client_hello(*protocols)) == tuple(name.encode() for name in protocols)

    def test_it_is_whole_with_its_last_octet(self) -> None:
        hello = client_hello("h2")
        assert [size for size in range(1, len(hello) + 1) if is_whole(hello[:size])] == [len(hello)]

    def test_one_that_is_cut_offers_the_same_or_nothing(self) -> None:
        hello = client_hello("h2")
        assert {offered_protocols(hello[:size]) for size in range(1, len(hello) + 1)} == {(), (b"h2",)}

    @given(st.binary(min_size=1))
    def test_nothing_is_an_exception(self, octets: bytes) -> None:
        assert isinstance(is_http(octets), bool)
        assert isinstance(is_whole(octets), bool)
        assert isinstance(offered_protocols(octets), tuple)

    @given(st.binary(min_size=1))
    def test_nor_in_what_begins_well(self, octets: bytes) -> None:
        begun = b"\x16\x03\x01" + len(octets).to_bytes(2, "big") + octets
        assert isinstance(offered_protocols(begun), tuple)


@pytest.mark.parametrize(
    ("begun", "http"), [(b"G", True), (b"OPTIONS * HTTP/1.1", True), (b"\x16\x03\x01", False), (b"\x80.", False)]
)
def test_http_in_the_clear(begun: bytes, *, http: bool) -> None:
    assert is_http(begun) == http
