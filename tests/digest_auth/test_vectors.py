"""Published examples, in every direction: the formula, what the server grants and refuses, what the client sends.

The values are from RFCs and from other projects' test suites, each named beside its case. None is taken on trust: the
first test computes each again with hashlib alone.
"""

import hashlib
from dataclasses import dataclass, replace

import pytest

from digest_auth import (
    Algorithm,
    Authenticator,
    AwaitingBody,
    Claim,
    DigestClient,
    DigestRequest,
    Granted,
    MemoryReplayStore,
    Nonces,
    Qop,
    Refused,
    UserTable,
    hash_a1,
    htdigest_line,
)
from digest_auth._header import credentials, quote
from digest_auth._nonces import Issued
from digest_auth._response import hash_a1_of_session, hash_a2, hash_user, response
from tests.digest_auth.device import KEY, NOW_S

HASHES = {Algorithm.MD5: "md5", Algorithm.SHA_256: "sha256", Algorithm.SHA_512_256: "sha512_256"}


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A request and its published response."""

    source: str
    algorithm: Algorithm
    response: str
    user: str = "Mufasa"
    password: str = "Circle of Life"
    realm: str = "http-auth@example.org"
    method: str = "GET"
    uri: str = "/dir/index.html"
    nonce: str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
    cnonce: str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    qop: Qop = Qop.AUTH
    body: bytes = b""
    userhash: str | None = None

    def __str__(self) -> str:
        return f"{self.source}, {self.algorithm} {self.qop}"

    @property
    def username(self) -> str:
        """The parameter, as its octets."""
        return self.user.encode().decode("latin-1") if self.userhash is None else self.userhash


def postman(algorithm: Algorithm, qop: Qop, expected: str, body: bytes = b"") -> Vector:
    return Vector(
        source=f"postman-runtime, test/unit/auth-handlers.test.js, {len(body)} octets",
        algorithm=algorithm,
        qop=qop,
        response=expected,
        body=body,
        user="postman",
        password="password",
        realm="Users",
        uri="/digest-auth",
        nonce="bcgEc5RPU1ANglyT2I0ShU0oxqPB5jXp",
        cnonce="0a4f113b",
    )


def libre(algorithm: Algorithm, qop: Qop, expected: str) -> Vector:
    return Vector(
        source="baresip/re, test/httpauth.c",
        algorithm=algorithm,
        qop=qop,
        response=expected,
        user="retest",
        password="sec_pwd_retest",
        realm="/my/home",
        uri="example.com/my/home/something",
        nonce="b5c64f319d37323ac652b77012817ccaa6e9a7e4e7563155f1f9556414dd4615",
        cnonce="deadbeef",
    )


RFC_2617 = Vector(
    source="RFC 2617 section 3.5",  # also in the suites of libmicrohttpd (test_auth_parse.c) and Ktor (DigestTest.kt)
    algorithm=Algorithm.MD5,
    response="6629fae49393a05397450978507c4ef1",
    password="Circle Of Life",
    realm="testrealm@host.com",
    nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
    cnonce="0a4f113b",
)
RFC_7616_3_9_2 = Vector(
    source="RFC 7616 section 3.9.2 with erratum 4897",
    algorithm=Algorithm.SHA_512_256,
    response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
    user="Jäsøn Doe",
    password="Secret, or not?",
    realm="api@example.org",
    uri="/doe.json",
    nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
    cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    userhash="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b",
)
VECTORS = [
    RFC_2617,
    Vector(
        source="RFC 7616 section 3.9.1",  # also in the suites of httpx (tests/test_auth.py) and icholy/digest
        algorithm=Algorithm.MD5,
        response="8ca523f5e9506fed4657c9700eebdbec",
    ),
    Vector(
        source="RFC 7616 section 3.9.1",
        algorithm=Algorithm.SHA_256,
        response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    ),
    RFC_7616_3_9_2,
    replace(RFC_7616_3_9_2, source="the same without userhash", userhash=None),
    Vector(
        source="Ktor, DigestRFC7616Test.kt testRFC7616TestVectors",
        algorithm=Algorithm.SHA_256,
        response="1065210cae09a9f712a625aae28b6119cbb2bb852820f94706624b43328c7b0d",
        password="CircleOfLife",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        cnonce="0a4f113b",
    ),
    Vector(
        source="Ktor, DigestRFC7616Test.kt testIntegrationSHA256",
        algorithm=Algorithm.SHA_256,
        response="4ca7fe3a9a741248f4c17e5c36560060f4f36077a7d6a815912661679ddcc67d",
        password="CircleOfLife",
        uri="/",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        cnonce="0a4f113b",
    ),
    replace(
        RFC_2617,
        source="Ktor, DigestTest.kt, the request of admin",
        user="admin",
        response="b9b12c2f6abe2d166e5743ed1e687ed6",
    ),
    Vector(
        source="icholy/digest, digest_test.go, SIP",
        algorithm=Algorithm.MD5,
        response="6cf0981e056709d40c8acc40c87e73c6",
        user="the-user",
        password="********",
        realm="SipPeer",
        method="REGISTER",
        uri="sip:182.82.132.122",
        nonce="970a1b42-d8a7-4fce-91a1-4767e9ed561b",
        cnonce="104adc6bd71f49678798ee646edcaa9a",
    ),
    Vector(
        source="icholy/digest, digest_test.go TestDigestAuthInt",
        algorithm=Algorithm.MD5,
        qop=Qop.AUTH_INT,
        response="a86955ec413135f7902c0bae37d75469",
        user="foo",
        password="bar",
        realm="me@kennethreitz.com",
        uri="/digest-auth/auth-int/foo/bar",
        nonce="7a5462bc2121c2e609e6f71c64d341c1",
        cnonce="MjhjOWI2ZDRmNmVkNjlmYzRmMTdjZjAxYmU4ZTNkM2U=",
    ),
    libre(Algorithm.MD5, Qop.AUTH, "88f41f7227700e07d0d65256714a5a1a"),
    libre(Algorithm.MD5_SESS, Qop.AUTH, "1e79ac7105a4fdf416aaacfc50349110"),
    libre(Algorithm.SHA_256, Qop.AUTH, "c22b56ce81bbb59570f0fbbc0ba27210dbbfcb2b23fea371d214722f319dc41c"),
    libre(Algorithm.SHA_256, Qop.AUTH_INT, "2c0746b7174441314164d8d9a980d8920732de32e16303f0e6a82970230e79e4"),
    postman(Algorithm.MD5, Qop.AUTH, "f83809617b00766c6f9840256eb1199e"),
    postman(Algorithm.MD5, Qop.AUTH_INT, "65d355634828a04d3a73717dc810a4bf"),
    postman(Algorithm.MD5_SESS, Qop.AUTH, "52aa69a8b63d81b51e2d02ecebaa705e"),
    postman(Algorithm.MD5_SESS, Qop.AUTH_INT, "eb2ec4193a936809d035976f5f20cc65"),
    postman(Algorithm.SHA_256, Qop.AUTH, "6025934347a57283989281f03d9c4e1adbb3ee50af57827c83182d87e0cb7ec0"),
    postman(Algorithm.SHA_256, Qop.AUTH_INT, "06ba0831e0043ddc784784a1915acfd6d58792ab8203edaff5082800f8d294a5"),
    postman(Algorithm.SHA_256_SESS, Qop.AUTH, "9388df8d879c3d988419aafca225ccc4626eb089192e992239b5595a532e243d"),
    postman(Algorithm.SHA_256_SESS, Qop.AUTH_INT, "31ecccb1899773a8d2478e6f7042f3174485ce18949731e84c572a1dd48d1539"),
    postman(Algorithm.SHA_512_256, Qop.AUTH, "fb53cf8c6922b758cf05477afd5cd896ad0213f16588ed15089da72a2900cb19"),
    postman(Algorithm.SHA_512_256, Qop.AUTH_INT, "f928c7ae0b0d4e4fe870e2fe66ccb85362e08b7c9ac33dcc527915019dec7aa2"),
    postman(
        Algorithm.SHA_512_256,
        Qop.AUTH_INT,
        "08af7d82b032a502331788f1e56e16337910c11a887b99c60abf86e9c26fab2a",
        b"Hello Postman!!!",
    ),
    postman(
        Algorithm.SHA_512_256,
        Qop.AUTH_INT,
        "cbfd61ad1bc2a4c9bb3d058e2b9b9d231e11501261c2115a8f23f787d296d6f4",
        b"foo=bar&postman=%E9%82%AE%E5%B7%AE",
    ),
    postman(
        Algorithm.SHA_512_256,
        Qop.AUTH_INT,
        "88f80bf9c08dd1250ae6fa848f48147aaebc0d56b7f41f04ccd8de4f217d0256",
        b'{"query":"query Test { hello }","operationName":"Test","variables":{"foo":"bar"}}',
    ),
    postman(Algorithm.SHA_512_256_SESS, Qop.AUTH, "5b0af1e60cff4aaa751326f6e837ea5d32c77324254f6c0c9882ff6cc0947799"),
    postman(
        Algorithm.SHA_512_256_SESS, Qop.AUTH_INT, "6e12487570a4f493953dd7e378924eee9a61dea0e6f0ee59854cf2c77c223f53"
    ),
    Vector(
        source="sofia-sip, libsofia-sip-ua/iptsec/test_auth_digest.c",
        algorithm=Algorithm.MD5,
        qop=Qop.AUTH_INT,
        response="26e8b9aaacfca2d68770fab1ec04e2c7",
        user="test",
        password="test",
        realm="nokia-proxy",
        method="REGISTER",
        uri="sip:3000@194.2.188.133",
        nonce="3wWGOvaWn3n+hFv8PK2ABQ==",
        cnonce="11RkhFg9EdaIRD36w0EMVA==",
        body=b'<?xml version="1.0" encoding="ISO-8859-1"?>\n<presence>\n<presentity uri="sip:3000@194.2.188.133"/>\n'
        b'<atom atomid="BQpTalFpkMyF9hOlR8olWQ==">\n<address uri="sip:3000@194.2.188.133" priority=" 0">\n'
        b'<status status="open"/>\n<class class="business"/>\n<duplex duplex="full"/>\n'
        b'<feature feature="voicemail"/>\n<mobility mobility="fixed"/>\n<note>\n</note>\n</address>\n</atom>\n'
        b"</presence>\n",
    ),
]


class PublishedNonces(Nonces):
    """Takes any nonce for one of its own, issued just now: those of published examples have no HMAC of ours."""

    def __init__(self, store: MemoryReplayStore, realm: str) -> None:
        super().__init__(KEY, store, realm)
        self._epoch = store.epoch

    def recognise(self, nonce: str) -> Issued:
        identity = hashlib.md5(nonce.encode(), usedforsecurity=False).digest()
        return Issued(identity, int(NOW_S * 1e6), self._epoch)


class Server:
    """Knows the user of a vector and takes its nonce for one of its own."""

    def __init__(self, vector: Vector) -> None:
        self.store = MemoryReplayStore()
        self.authenticator = Authenticator(
            realm=vector.realm,
            users=UserTable.parse(htdigest_line(vector.user, vector.realm, vector.password, vector.algorithm)),
            nonces=PublishedNonces(self.store, vector.realm),
            algorithms=(vector.algorithm,),
            qops=(vector.qop,),
            userhash=vector.userhash is not None,
        )

    def ask(self, vector: Vector) -> Granted | Refused:
        request = DigestRequest(vector.method, vector.uri, [authorization(vector)])
        verdict = self.authenticator.check(request, now_s=NOW_S)
        if isinstance(verdict, AwaitingBody):
            middle = len(vector.body) // 2
            verdict.update(vector.body[:middle])
            verdict.update(vector.body[middle:])
            verdict = verdict.decide(now_s=NOW_S)
        if isinstance(verdict, Claim):
            return verdict.settle(unused=self.store.use(verdict))
        return verdict


def authorization(vector: Vector) -> str:
    quoted = {
        "username": vector.username,
        "realm": vector.realm,
        "nonce": vector.nonce,
        "uri": vector.uri,
        "cnonce": vector.cnonce,
        "response": vector.response,
    }
    value = "Digest " + ", ".join(f"{name}={quote(text)}" for name, text in quoted.items())
    value += f", algorithm={vector.algorithm}, qop={vector.qop}, nc=00000001"
    return value if vector.userhash is None else value + ", userhash=true"


def asked(vector: Vector) -> Granted | Refused:
    return Server(vector).ask(vector)


def hexadecimal(algorithm: Algorithm, *parts: str | bytes) -> str:
    octets = b":".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.new(HASHES[algorithm.plain], octets).hexdigest()


def test_every_algorithm_has_a_vector_with_each_qop() -> None:
    covered = {(vector.algorithm, vector.qop) for vector in VECTORS}
    assert covered == {(algorithm, qop) for algorithm in Algorithm for qop in Qop}


@pytest.mark.parametrize("vector", VECTORS, ids=str)
class TestVector:
    def test_is_right_by_hashlib_alone(self, vector: Vector) -> None:
        algorithm = vector.algorithm
        ha1 = hexadecimal(algorithm, vector.user, vector.realm, vector.password)
        if algorithm.value.endswith("-sess"):
            ha1 = hexadecimal(algorithm, ha1, vector.nonce, vector.cnonce)
        body = [hexadecimal(algorithm, vector.body)] if vector.qop is Qop.AUTH_INT else []
        ha2 = hexadecimal(algorithm, vector.method, vector.uri, *body)
        parts = (ha1, vector.nonce, "00000001", vector.cnonce, vector.qop, ha2)
        assert hexadecimal(algorithm, *parts) == vector.response
        assert vector.userhash in {None, hexadecimal(algorithm, vector.user, vector.realm)}

    def test_formula_gives_it(self, vector: Vector) -> None:
        algorithm, nonce, cnonce = vector.algorithm, vector.nonce.encode(), vector.cnonce.encode()
        ha1 = hash_a1(algorithm, vector.user, vector.realm, vector.password)
        if algorithm.is_session:
            ha1 = hash_a1_of_session(algorithm, ha1, nonce, cnonce)
        body = hexadecimal(algorithm, vector.body).encode() if vector.qop is Qop.AUTH_INT else None
        ha2 = hash_a2(algorithm, vector.method.encode(), vector.uri.encode(), body)
        computed = response(algorithm, ha1, nonce, b"00000001", cnonce, vector.qop.encode(), ha2)
        assert computed.decode() == vector.response

    def test_server_grants_it_once(self, vector: Vector) -> None:
        server = Server(vector)
        assert server.ask(vector) == Granted(vector.user)
        again = server.ask(vector)
        assert isinstance(again, Refused)
        assert (again.status, again.stale) == (401, True)

    def test_server_refuses_it_with_one_digit_changed(self, vector: Vector) -> None:
        for place in (0, len(vector.response) // 2, -1):
            digits = list(vector.response)
            digits[place] = "0" if digits[place] != "0" else "1"
            answer = asked(replace(vector, response="".join(digits)))
            assert isinstance(answer, Refused)
            assert (answer.status, answer.stale) == (401, False)

    def test_client_sends_it(self, vector: Vector, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("digest_auth._client.secrets.token_hex", lambda _: vector.cnonce)
        client = DigestClient(vector.user, vector.password)
        challenge = f'Digest realm="{vector.realm}", qop="{vector.qop}", algorithm={vector.algorithm}'
        challenge += f', nonce="{vector.nonce}", charset=UTF-8'
        assert client.accept([challenge if vector.userhash is None else challenge + ", userhash=true"])
        sent = credentials(client.authorization(vector.method, vector.uri, vector.body) or "")
        assert sent is not None
        assert sent["response"] == vector.response
        assert (sent["nc"], sent["qop"]) == ("00000001", vector.qop)
        assert vector.userhash in {None, sent.get("username")}


class TestBody:
    """A response of qop=auth-int covers the body."""

    @pytest.mark.parametrize("vector", [v for v in VECTORS if v.qop is Qop.AUTH_INT], ids=str)
    @pytest.mark.parametrize("change", [b"\n", b"\0"])
    def test_another_body_is_refused(self, vector: Vector, change: bytes) -> None:
        changed = replace(vector, body=vector.body + change)
        answer = asked(changed)
        assert isinstance(answer, Refused)
        assert (answer.status, answer.stale) == (401, False)


class TestSha512Slash256:
    """SHA-512-256 is FIPS 180-4's SHA-512/256; what has its length and is something else is refused."""

    def test_what_section_3_9_2_prints_is_sha_512_cut_short_and_refused(self) -> None:
        printed = replace(
            RFC_7616_3_9_2,
            userhash="488869477bf257147b804c45308cd62ac4e25eb717b12b298c79e62dcea254ec",
            response="ae66e67d6b427bd3f120414a82e4acff38e8ecd9101d6c861229025f607a79dd",
        )
        assert printed.userhash == hashlib.sha512(f"{printed.user}:{printed.realm}".encode()).hexdigest()[:64]
        for vector in (printed, replace(printed, userhash=RFC_7616_3_9_2.userhash), replace(printed, userhash=None)):
            answer = Server(RFC_7616_3_9_2).ask(vector)
            assert isinstance(answer, Refused)
            assert (answer.status, answer.stale) == (401, False)

    def test_plain_sha_256_under_its_name_as_curl_7_88_sends_it_is_refused(self) -> None:
        vector = replace(
            RFC_7616_3_9_2,
            userhash=None,
            response="b6d5cb9c3000ea2385250005e294d7132b260b8fd08940d2377373493cee8cc4",
        )
        as_sha_256 = replace(vector, algorithm=Algorithm.SHA_256)
        assert asked(as_sha_256) == Granted(vector.user)
        answer = asked(vector)
        assert isinstance(answer, Refused)
        assert (answer.status, answer.stale) == (401, False)


@dataclass(frozen=True)
class Old:
    """A request by RFC 2069, which has no qop: its response covers neither nc nor cnonce, so it can be replayed."""

    source: str
    algorithm: Algorithm
    user: str
    password: str
    realm: str
    method: str
    uri: str
    nonce: str
    response: str

    def __str__(self) -> str:
        return self.source


_CURL = ("testuser", "testpass", "testrealm", "GET")
_POST = ("auser", "apasswd", "testrealm", "POST")
OLD = [
    Old(
        "httpx, tests/test_auth.py", Algorithm.MD5, "Mufasa", "CircleOfLife", "testrealm@host.com", "GET",
        "/dir/index.html", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "1949323746fe6a43ef61f9606e7febea",
    ),
    Old(
        "curl, tests/data/test70", Algorithm.MD5, *_CURL, "/70", "1053604199", "2c9a6f00af0d86497b177b90e90c688a"
    ),
    Old(
        "curl, tests/data/test2076", Algorithm.MD5, *_CURL, "/2076?query", "1", "5758bd3bbde7f33236e6ccd278eb59af"
    ),
    Old(
        "curl, tests/data/test2061", Algorithm.SHA_256, *_CURL, "/2061", "1053604145",
        "9dc55255f1a2537b838311674b621d45346b862a81631bb20e4ce356ef25062d",
    ),
    Old(
        "curl, tests/data/test2062", Algorithm.SHA_512_256, *_CURL, "/2062", "1053604145",
        "9d3256ee6526ec40dd48743bb48e51ee9baba587c78f15c3a86166242150af98",
    ),
    Old(
        "curl, tests/data/test2067", Algorithm.SHA_256, *_POST, "/2067", "1053604144",
        "67b97af219c92fa7e8685e5bebb8e74892f6c6792e911c52bd2dfbf0b49272eb",
    ),
    Old(
        "curl, tests/data/test2068", Algorithm.SHA_512_256, *_POST, "/2068", "1053604144",
        "0ba2f7ec8045446588eea82bb0c3812aedb05f4eac8883ea65040a52e9c5629e",
    ),
    Old(
        "httpcomponents-client, TestDigestScheme.java", Algorithm.MD5, "username", "password", "realm1", "Simple",
        "/?param=value", "f2a3f18799759d4f1a1c068b92b573cb", "a847f58f5fef0bc087bcb9c3eb30e042",
    ),
]  # fmt: skip


@pytest.mark.parametrize("old", OLD, ids=str)
class TestWithoutQop:
    """A right response by RFC 2069 is refused all the same: there is no way down to it."""

    def test_is_right_by_hashlib_alone(self, old: Old) -> None:
        ha1 = hexadecimal(old.algorithm, old.user, old.realm, old.password)
        ha2 = hexadecimal(old.algorithm, old.method, old.uri)
        assert hexadecimal(old.algorithm, ha1, old.nonce, ha2) == old.response

    @pytest.mark.parametrize("counted", ["", ', nc=00000001, cnonce="0a4f113b"'])
    def test_is_refused(self, old: Old, counted: str) -> None:
        vector = Vector(
            source=old.source, algorithm=old.algorithm, response=old.response, user=old.user,
            password=old.password, realm=old.realm, method=old.method, uri=old.uri, nonce=old.nonce,
        )  # fmt: skip
        value = (
            f'Digest username="{old.user}", realm="{old.realm}", nonce="{old.nonce}", uri="{old.uri}",'
            f' response="{old.response}", algorithm={old.algorithm}{counted}'
        )
        request = DigestRequest(old.method, old.uri, [value])
        answer = Server(vector).authenticator.check(request, now_s=NOW_S)
        assert isinstance(answer, Refused)
        assert (answer.status, answer.stale) == (401, False)


JASON = "Jäsøn Doe"
A1_HASHES = [  # of libmicrohttpd, src/microhttpd/test_dauth_userdigest.c
    (Algorithm.MD5, "u", "r", "p", "44add22b6f3179b751eafd68ee370f7d"),
    (Algorithm.MD5, "test_user", "TestRealm", "test pass", "d8b4a6d0011307b76794ea6686036b43"),
    (Algorithm.MD5, JASON, "api@example.org", "Secret, or not?", "83a3f7f6b83f71c5c2eb7c6dd2dd4c4b"),
    (Algorithm.SHA_256, "u", "r", "p", "dcb021102e491e701a4a236daa8923af2161447bce7bb7260a351ee83e9f8154"),
    (
        Algorithm.SHA_256, "Mufasa", "http-auth@example.org", "Circle of Life",
        "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232",
    ),
    (
        Algorithm.SHA_256, JASON, "api@example.org", "Secret, or not?",
        "fd0be3939dca4b5c2d46e8fa6a3d16dbea82474cb9a588d4cb149c54f37cff37",
    ),
    (Algorithm.SHA_512_256, "u", "r", "p", "d5e8e73ba347b9adf0e47a9ace43b7082abc8d27272e387d1d9ce24425687404"),
    (
        Algorithm.SHA_512_256, "Mufasa", "myhost@example.com", "Circle Of Life",
        "d5f6257c64e401d287d5aa19aef0a2a2ce4e5dfc77700b72904396d2956e830a",
    ),
    (
        Algorithm.SHA_512_256, JASON, "api@example.org", "Secret, or not?",
        "2d3d9f12c9f3d30011259dc5fecee005ae24de40e3e1f61806d03e65f1e6024f",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "user", "realm", "password", "expected"), A1_HASHES)
def test_a1_is_hashed_as_utf_8(algorithm: Algorithm, user: str, realm: str, password: str, expected: str) -> None:
    assert hash_a1(algorithm, user, realm, password).decode() == expected
    assert hexadecimal(algorithm, user, realm, password) == expected


USER_HASHES = [  # of libmicrohttpd, src/microhttpd/test_dauth_userhash.c; the second of SHA-256 also in curl's test2063
    (Algorithm.MD5, "u", "r", "ba84be203fdfc7d34e054a76d285d0c9"),
    (Algorithm.MD5, JASON, "api@example.org", "2e063fa2c54dea1c36808b7a6e3b14c9"),
    (Algorithm.SHA_256, "u", "r", "1d8a03a6e21a4ce775060ea57360329ac750dea5d847297b42f0d46539af8ab2"),
    (Algorithm.SHA_256, "testuser", "testrealm", "75af8a3500f771e58a52093a25e7905d6e428a511285c12ea1420c73078dfd61"),
    (Algorithm.SHA_256, JASON, "api@example.org", "5a1a8a47df5c298551b9b42ba9b05835174a5bd7d511ff7fe9191d8e946fc4e7"),
    (Algorithm.SHA_512_256, "u", "r", "c738f2ad401bc87a71fe78096015c97b9a26d55f15e9f50ac3a6de73ddcd3d08"),
    (
        Algorithm.SHA_512_256, "test_user", "TestRealm",
        "62e1ac9f6cb1eb26aa75eb5d46efcdc89ccba781f0f9f72f6afdb94265d9a79a",
    ),
    (Algorithm.SHA_512_256, JASON, "api@example.org", RFC_7616_3_9_2.userhash),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "user", "realm", "expected"), USER_HASHES)
def test_a_user_is_found_by_the_hash_of_the_name(algorithm: Algorithm, user: str, realm: str, expected: str) -> None:
    assert hash_user(algorithm, user, realm) == expected
    assert hexadecimal(algorithm, user, realm) == expected
    known = UserTable.parse(htdigest_line(user, realm, "secret", algorithm))
    assert known.find_hashed(algorithm, realm, expected) == user
