"""Published examples, from both sides: what the server would compute and what the client sends."""

from typing import NamedTuple

import pytest

from digest_auth import Algorithm, DigestClient, hash_a1
from digest_auth._header import credentials
from digest_auth._response import hash_a2, response


class Vector(NamedTuple):
    source: str
    algorithm: Algorithm
    user: str
    password: str
    realm: str
    uri: str
    nonce: str
    cnonce: str
    response: str


VECTORS = [
    Vector(
        source="RFC 2617 section 3.5",
        algorithm=Algorithm.MD5,
        user="Mufasa",
        password="Circle Of Life",
        realm="testrealm@host.com",
        uri="/dir/index.html",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        cnonce="0a4f113b",
        response="6629fae49393a05397450978507c4ef1",
    ),
    Vector(
        source="RFC 7616 section 3.9.1, MD5",
        algorithm=Algorithm.MD5,
        user="Mufasa",
        password="Circle of Life",
        realm="http-auth@example.org",
        uri="/dir/index.html",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        response="8ca523f5e9506fed4657c9700eebdbec",
    ),
    Vector(
        source="RFC 7616 section 3.9.1, SHA-256",
        algorithm=Algorithm.SHA_256,
        user="Mufasa",
        password="Circle of Life",
        realm="http-auth@example.org",
        uri="/dir/index.html",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    ),
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.source)
class TestVector:
    def test_server_computes_it(self, vector: Vector) -> None:
        ha1 = hash_a1(vector.algorithm, vector.user, vector.realm, vector.password)
        ha2 = hash_a2(vector.algorithm, "GET", vector.uri.encode())
        computed = response(
            vector.algorithm, ha1, vector.nonce.encode(), b"00000001", vector.cnonce.encode(), b"auth", ha2
        )
        assert computed.decode() == vector.response

    def test_client_sends_it(self, vector: Vector, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("digest_auth._client.secrets.token_hex", lambda _: vector.cnonce)
        client = DigestClient(vector.user, vector.password)
        assert client.accept(
            [f'Digest realm="{vector.realm}", qop="auth", algorithm={vector.algorithm}, nonce="{vector.nonce}"']
        )
        sent = credentials(client.authorization("GET", vector.uri) or "")
        assert sent is not None
        assert sent["response"] == vector.response
        assert sent["nc"] == "00000001"
