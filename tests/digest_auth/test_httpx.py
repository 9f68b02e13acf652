"""SharedDigestAuth against our devices over TLS, and against made-up servers for what those never do."""

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from certs import client_context
from device_api.routes import PING_PATH, SYSTEM_STATE_PATH
from device_api.state import read_credentials
from digest_auth import Algorithm, Authenticator, AwaitingBody, Claim, DigestRequest, Granted, Qop, Refused
from digest_auth._header import credentials
from digest_auth.httpx import BodySpentError, SharedDigestAuth
from tests.devices import running_device
from tests.digest_auth.device import REALM, Device, users

HOME = "https://device.example"
COUNT_LIMIT = 50


@dataclass(frozen=True)
class Real:
    """One of our devices, whose nonces are good for a few requests only."""

    url: str
    credentials: tuple[str, str]
    ca_file: Path

    def client(self, auth: httpx.Auth, seen: "Seen | None" = None) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            verify=client_context(self.ca_file),
            auth=auth,
            event_hooks={} if seen is None else {"response": [seen.note]},
            timeout=20,
        )


@dataclass
class Seen:
    """Every response, those that the caller does not get included; and what was sent for it."""

    statuses: list[int] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)

    def note(self, response: httpx.Response) -> None:
        self.statuses.append(response.status_code)
        self.sent.append(credentials_of(response))

    async def note_async(self, response: httpx.Response) -> None:
        self.note(response)

    @property
    def counts(self) -> list[tuple[str, str]]:
        return [(sent["nonce"], sent["nc"]) for sent in self.sent if sent]


@pytest.fixture(scope="module", params=["flask-stdlib", "quart"])
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    settings = {
        "DEVICE_ALGORITHMS": "SHA-512-256,SHA-256",
        "DEVICE_QOP": "auth,auth-int",
        "DEVICE_USERHASH": "on",
        "DEVICE_NONCE_COUNT_LIMIT": str(COUNT_LIMIT),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        with running_device(request.param, tmp_path_factory.mktemp("device")) as device:
            assert device.ready.ca_file is not None
            assert device.ready.credentials_file is not None
            yield Real(device.ready.url, read_credentials(device.ready.credentials_file), device.ready.ca_file)


PING = {"network-device:input": {"destination": "192.0.2.1", "interval-ms": 1}}


class TestDevices:
    """Our own, over TLS."""

    def test_a_long_run_has_one_401_whatever_its_connections_and_clients(self, real: Real) -> None:
        auth = SharedDigestAuth(*real.credentials)
        seen = Seen()
        for _ in range(2):
            with real.client(auth, seen) as client:
                for _ in range(COUNT_LIMIT):
                    assert client.get(SYSTEM_STATE_PATH).status_code == 200
        assert seen.statuses == [401] + [200] * (2 * COUNT_LIMIT)
        assert seen.sent[0] == {}
        assert (seen.sent[1]["algorithm"], seen.sent[1]["userhash"]) == ("SHA-512-256", "true")

    def test_threads_share_it(self, real: Real) -> None:
        auth = SharedDigestAuth(*real.credentials)
        seen = Seen()
        with real.client(auth, seen) as client, ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: client.get(SYSTEM_STATE_PATH).status_code, range(2 * COUNT_LIMIT)))
        assert statuses == [200] * (2 * COUNT_LIMIT)
        assert len(set(seen.counts)) == len(seen.counts)

    def test_tasks_share_it(self, real: Real) -> None:
        auth = SharedDigestAuth(*real.credentials)
        seen = Seen()

        async def ask_all() -> list[int]:
            async with httpx.AsyncClient(
                base_url=real.url,
                verify=client_context(real.ca_file),
                auth=auth,
                event_hooks={"response": [seen.note_async]},
                timeout=20,
            ) as client:
                answers = await asyncio.gather(*(client.get(SYSTEM_STATE_PATH) for _ in range(20)))
            return [answer.status_code for answer in answers]

        assert asyncio.run(ask_all()) == [200] * 20
        assert len(set(seen.counts)) == len(seen.counts) == 20

    def test_auth_int(self, real: Real) -> None:
        """The body is protected both ways: of the request by the response, of the answer by rspauth."""
        with real.client(SharedDigestAuth(*real.credentials, prefers_auth_int=True)) as client:
            for _ in range(2):
                answer = client.post(PING_PATH, json=PING)
                assert answer.status_code == 200
                assert credentials_of(answer)["qop"] == "auth-int"
                assert answer.headers["authentication-info"].startswith("qop=auth-int")
            assert client.head(SYSTEM_STATE_PATH).status_code == 200

    def test_a_wrong_password_is_tried_once(self, real: Real) -> None:
        auth = SharedDigestAuth(real.credentials[0], "wrong")
        seen = Seen()
        with real.client(auth, seen) as client:
            assert client.get(SYSTEM_STATE_PATH).status_code == 401
        assert (seen.statuses, len(seen.counts)) == ([401, 401], 1)
        assert auth.refused(real.url)

    def test_a_streamed_body(self, real: Real) -> None:
        """It can be sent once: before the first challenge that is once too few, and said so."""
        with real.client(SharedDigestAuth(*real.credentials)) as client:
            content = json.dumps(PING).encode()
            headers = {"Content-Type": "application/yang-data+json"}
            with pytest.raises(BodySpentError, match="make the request once more"):
                client.post(PING_PATH, content=in_pieces(content), headers=headers)
            assert client.post(PING_PATH, content=in_pieces(content), headers=headers).status_code == 200

    @pytest.mark.parametrize("target", ["//a", "/a%2Fb?", "/a?b=%20c"])
    def test_the_target_is_the_one_that_is_sent(self, real: Real, target: str) -> None:
        """Authorized, and so 404."""
        with real.client(SharedDigestAuth(*real.credentials)) as client:
            url = httpx.URL(real.url).copy_with(raw_path=target.encode())
            assert client.get(url).status_code == 404
            assert client.get(real.url, extensions={"target": target.encode()}).status_code == 404


def credentials_of(response: httpx.Response) -> dict[str, str]:
    return credentials(response.request.headers.get("authorization", "")) or {}


def in_pieces(content: bytes) -> Iterator[bytes]:
    yield content[:5]
    yield content[5:]


@dataclass(frozen=True)
class Got:
    """A request as it came over the wire."""

    method: str
    url: httpx.URL
    headers: httpx.Headers
    body: bytes

    @property
    def authorization(self) -> str | None:
        value = dict(self.headers.raw).get(b"Authorization")
        return None if value is None else value.decode("latin-1")


Answering = Callable[[Got], httpx.Response]


@dataclass
class Wire(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Reads each body from its stream, as a network does; httpx's own MockTransport would keep it in memory."""

    answering: Answering
    got: list[Got] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        return self._answer(request, b"".join(request.stream))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        return self._answer(request, b"".join([chunk async for chunk in request.stream]))

    def _answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
        self.got.append(Got(request.method, request.url, httpx.Headers(request.headers.raw), body))
        return self.answering(self.got[-1])

    @property
    def authorizations(self) -> list[str | None]:
        return [got.authorization for got in self.got]


class Guarded(Device):
    """A server behind the real check. content: of every answer."""

    def __init__(self, *, qops: Sequence[Qop] = (Qop.AUTH,), informs: bool = True, content: bytes = b"content") -> None:
        super().__init__()
        self.informs = informs
        self.content = content
        self.authenticator = Authenticator(realm=REALM, users=users("admin"), nonces=self.nonces, qops=qops)

    def __call__(self, got: Got) -> httpx.Response:
        given = [got.authorization] if got.authorization is not None else []
        target = got.url.raw_path.decode("ascii")
        verdict: object = self.authenticator.check(DigestRequest(got.method, target, given), now_s=self.now_s)
        if isinstance(verdict, AwaitingBody):
            verdict.update(got.body)
            verdict = verdict.decide(now_s=self.now_s)
        if isinstance(verdict, Claim):
            verdict = verdict.settle(unused=self.store.use(verdict))
        if isinstance(verdict, Refused):
            return httpx.Response(
                verdict.status, headers=[("WWW-Authenticate", line) for line in verdict.www_authenticate]
            )
        assert isinstance(verdict, Granted)
        return self.grant(got, verdict)

    def grant(self, got: Got, granted: Granted) -> httpx.Response:
        del got
        info = {"Authentication-Info": granted.authentication_info(self.content)} if self.informs else {}
        return httpx.Response(200, headers=info, content=self.content)


class Client:
    """httpx's two clients as one."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def send(
        self, auth: httpx.Auth, wire: Wire, *requests: httpx.Request, follow_redirects: bool = False
    ) -> list[httpx.Response]:
        """One after the other."""
        if self.kind == "sync":
            with httpx.Client(transport=wire, auth=auth, follow_redirects=follow_redirects) as client:
                return [client.send(request) for request in requests]

        async def send() -> list[httpx.Response]:
            async with httpx.AsyncClient(transport=wire, auth=auth, follow_redirects=follow_redirects) as client:
                return [await client.send(request) for request in requests]

        return asyncio.run(send())

    def generator(self, content: bytes) -> Iterator[bytes] | AsyncIterator[bytes]:
        """A body that can be read once."""

        async def pieces() -> AsyncIterator[bytes]:
            for piece in in_pieces(content):
                yield piece

        return in_pieces(content) if self.kind == "sync" else pieces()


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest) -> Client:
    return Client(request.param)


@pytest.fixture
def auth() -> SharedDigestAuth:
    return SharedDigestAuth("admin", "right")


def get(url: str = HOME + "/a") -> httpx.Request:
    return httpx.Request("GET", url)


def statuses(responses: Sequence[httpx.Response]) -> list[int]:
    return [response.status_code for response in responses]


class TestChallenges:
    """One retry for a challenge, and an end to them."""

    def test_stale(self, client: Client, auth: SharedDigestAuth) -> None:
        server = Guarded()
        wire = Wire(server)
        assert statuses(client.send(auth, wire, get())) == [200]
        server.now_s += 301
        assert statuses(client.send(auth, wire, get())) == [200]
        assert len(wire.got) == 4

    def test_a_server_that_says_stale_for_ever_is_left(self, client: Client, auth: SharedDigestAuth) -> None:
        server = Guarded()
        wire = Wire(lambda _: httpx.Response(401, headers={"WWW-Authenticate": f"{server.challenge()[0]}, stale=true"}))
        assert statuses(client.send(auth, wire, get())) == [401]
        assert len(wire.got) == 4

    @pytest.mark.parametrize("line", ["Basic realm=x", "Digest", 'Digest realm="x", nonce="y", qop="auth-conf"'])
    def test_what_cannot_be_answered_is_the_callers(self, client: Client, auth: SharedDigestAuth, line: str) -> None:
        wire = Wire(lambda _: httpx.Response(401, headers={"WWW-Authenticate": line}))
        assert statuses(client.send(auth, wire, get())) == [401]
        assert wire.authorizations == [None]
        assert not auth.refused(HOME)

    def test_public_pages_get_no_credentials_before_the_server_asks(
        self, client: Client, auth: SharedDigestAuth
    ) -> None:
        wire = Wire(lambda _: httpx.Response(200))
        client.send(auth, wire, get(), get())
        assert wire.authorizations == [None, None]

    def test_requests_in_flight_take_one_nonce(self, auth: SharedDigestAuth) -> None:
        """All sixteen are challenged with a nonce of their own; the first is used for all."""
        server = Guarded()

        class Slow(Wire):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                answer = await super().handle_async_request(request)
                if len(self.got) == 16:
                    all_there.set()
                await all_there.wait()
                return answer

        all_there = asyncio.Event()
        wire = Slow(server)

        async def ask() -> list[httpx.Response]:
            async with httpx.AsyncClient(transport=wire, auth=auth) as client:
                return await asyncio.gather(*(client.get(HOME) for _ in range(16)))

        assert statuses(asyncio.run(ask())) == [200] * 16
        sent = [credentials(value) or {} for value in wire.authorizations if value is not None]
        assert len(sent) == 16
        assert len({each["nonce"] for each in sent}) == 1

    def test_octets_beyond_ascii_come_back_as_they_came(self, client: Client, auth: SharedDigestAuth) -> None:
        octets = 'Digest realm="caf\xe9", nonce="n", qop="auth"'.encode("latin-1")
        answers = iter([httpx.Response(401, headers=[(b"WWW-Authenticate", octets)]), httpx.Response(200)])
        wire = Wire(lambda _: next(answers))
        assert statuses(client.send(auth, wire, get())) == [200]
        assert b'realm="caf\xe9"' in dict(wire.got[1].headers.raw)[b"Authorization"]

    def test_a_cookie_that_comes_with_the_challenge_goes_with_the_answer(
        self, client: Client, auth: SharedDigestAuth
    ) -> None:
        """Flask-HTTPAuth keeps its nonce in one."""
        server = Guarded(informs=False)

        def answering(got: Got) -> httpx.Response:
            answer = server(got)
            if answer.status_code == 401:
                answer.headers["Set-Cookie"] = "session=new; Path=/"
            return answer

        wire = Wire(answering)
        request = httpx.Request("GET", HOME, headers={"Cookie": "other=1; session=old"})
        assert statuses(client.send(auth, wire, request)) == [200]
        assert wire.got[1].headers["cookie"] == "other=1; session=new"


class TestRedirects:
    """Credentials go to the server that they are for, and with the target that they are for."""

    @staticmethod
    def redirecting(server: Answering, location: str) -> Answering:
        """A server that redirects /old once it has let the request in."""

        def answering(got: Got) -> httpx.Response:
            answer = server(got)
            redirects = got.url.path == "/old" and answer.status_code == 200
            return httpx.Response(307, headers={"Location": location}) if redirects else answer

        return answering

    def test_on_one_server_each_target_has_its_own(self, client: Client, auth: SharedDigestAuth) -> None:
        wire = Wire(self.redirecting(Guarded(), "/new"))
        answers = client.send(auth, wire, get(HOME + "/old"), get(HOME + "/new"), follow_redirects=True)
        assert statuses(answers) == [200, 200]
        assert answers[0].url.path == "/new"
        assert len([got for got in wire.got if got.authorization is None]) == 1

    def test_another_server_gets_none_and_its_challenge_no_answer(self, client: Client, auth: SharedDigestAuth) -> None:
        home, elsewhere = Guarded(), Guarded()
        before = self.redirecting(home, "https://elsewhere.example/new")
        wire = Wire(lambda got: elsewhere(got) if got.url.host == "elsewhere.example" else before(got))
        assert statuses(client.send(auth, wire, get(HOME + "/old"), follow_redirects=True)) == [401]
        assert [got.authorization for got in wire.got if got.url.host == "elsewhere.example"] == [None]
        assert not auth.refused(HOME)

    @pytest.mark.parametrize(
        ("asked", "redirected", "answered"),
        [
            ("http://device.example", "https://device.example", True),
            ("http://device.example", "https://device.example:8443", False),
            ("https://device.example", "http://device.example", False),
            ("https://device.example", "https://device.example:444", False),
            ("https://device.example", "https://device.example:443", True),
        ],
    )
    def test_from_http_to_https_it_is_the_same_server(
        self,
        client: Client,
        auth: SharedDigestAuth,
        asked: str,
        redirected: str,
        answered: bool,  # noqa: FBT001 (pytest's parameter)
    ) -> None:
        server = Guarded()

        def answering(got: Got) -> httpx.Response:
            return httpx.Response(302, headers={"Location": redirected}) if got.url.path == "/old" else server(got)

        wire = Wire(answering)
        answer = client.send(auth, wire, get(asked + "/old"), follow_redirects=True)
        assert statuses(answer) == [200 if answered else 401]
        assert (wire.authorizations[-1] is not None) == answered

    def test_servers_that_are_asked_directly_have_nonces_of_their_own(
        self, client: Client, auth: SharedDigestAuth
    ) -> None:
        one, other = Guarded(), Guarded()
        wire = Wire(lambda got: one(got) if got.url.host == "one.example" else other(got))
        urls = ["https://one.example/a", "https://other.example/a"] * 2
        assert statuses(client.send(auth, wire, *map(get, urls))) == [200] * 4
        assert [value is None for value in wire.authorizations] == [True, False, True, False, False, False]


class TestBodies:
    """What is sent again after a challenge is the same body, or nothing."""

    def test_in_memory(self, client: Client, auth: SharedDigestAuth) -> None:
        wire = Wire(Guarded())
        assert statuses(client.send(auth, wire, httpx.Request("PUT", HOME, content=b"body"))) == [200]
        assert [got.body for got in wire.got] == [b"body"] * 2

    def test_multipart(self, client: Client, auth: SharedDigestAuth) -> None:
        wire = Wire(Guarded())
        request = httpx.Request("POST", HOME, files={"file": io.BytesIO(b"body")})
        assert statuses(client.send(auth, wire, request)) == [200]
        assert wire.got[0].body == wire.got[1].body
        assert b"body" in wire.got[1].body

    def test_a_list_of_pieces(self, auth: SharedDigestAuth) -> None:
        wire = Wire(Guarded())
        request = httpx.Request("PUT", HOME, content=[b"bo", b"dy"])
        assert statuses(Client("sync").send(auth, wire, request)) == [200]
        assert [got.body for got in wire.got] == [b"body"] * 2

    def test_a_generator_is_spent(self, client: Client, auth: SharedDigestAuth) -> None:
        wire = Wire(Guarded())
        with pytest.raises(BodySpentError):
            client.send(auth, wire, httpx.Request("PUT", HOME, content=client.generator(b"body")))
        assert len(wire.got) == 1
        assert statuses(client.send(auth, wire, httpx.Request("PUT", HOME, content=client.generator(b"body")))) == [200]
        assert len(wire.got) == 2

    def test_a_file_is_spent_and_no_empty_body_sent_for_it(self, auth: SharedDigestAuth) -> None:
        wire = Wire(Guarded())
        with pytest.raises(BodySpentError):
            Client("sync").send(auth, wire, httpx.Request("PUT", HOME, content=io.BytesIO(b"body")))
        assert [got.body for got in wire.got] == [b"body"]

    def test_a_file_that_was_sent_in_part_is_not_gone_on_with(self, auth: SharedDigestAuth) -> None:
        """A server may answer, and a transport stop sending, in mid-body."""
        server = Guarded()

        class Early(Wire):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                assert isinstance(request.stream, httpx.SyncByteStream)
                sending = iter(request.stream)
                next(sending)
                return self._answer(request, b"")

        wire = Early(server)
        with pytest.raises(BodySpentError):
            Client("sync").send(auth, wire, httpx.Request("PUT", HOME, content=io.BytesIO(b"x" * 100_000)))

    def test_all_are_read_where_that_is_wished(self, client: Client, auth: SharedDigestAuth) -> None:
        auth.requires_request_body = True
        wire = Wire(Guarded())
        assert statuses(client.send(auth, wire, httpx.Request("PUT", HOME, content=client.generator(b"body")))) == [200]
        assert [got.body for got in wire.got] == [b"body"] * 2

    def test_auth_int_reads_them(self, client: Client) -> None:
        auth = SharedDigestAuth("admin", "right", prefers_auth_int=True)
        wire = Wire(Guarded(qops=[Qop.AUTH, Qop.AUTH_INT]))
        assert statuses(client.send(auth, wire, httpx.Request("PUT", HOME, content=client.generator(b"body")))) == [200]
        assert "qop=auth-int" in (wire.got[1].authorization or "")


class TestProof:
    """Authentication-Info: the server's proof is checked, its next nonce taken."""

    def test_nextnonce(self, client: Client, auth: SharedDigestAuth) -> None:
        server = Guarded()
        wire = Wire(server)
        for _ in range(4):
            client.send(auth, wire, get())
            server.now_s += 245
        assert [value is None for value in wire.authorizations] == [True] + [False] * 4

    @pytest.mark.parametrize("qop", Qop)
    def test_wrong(self, client: Client, auth: SharedDigestAuth, qop: Qop) -> None:
        class Impostor(Guarded):
            def grant(self, got: Got, granted: Granted) -> httpx.Response:
                answer = super().grant(got, granted)
                headers = {"Authentication-Info": answer.headers["Authentication-Info"]}
                if qop is Qop.AUTH_INT:
                    return httpx.Response(200, headers=headers, content=b"other content")
                headers["Authentication-Info"] = headers["Authentication-Info"].replace('rspauth="', 'rspauth="0')
                return httpx.Response(200, headers=headers)

        with pytest.raises(httpx.RemoteProtocolError, match="rspauth is wrong"):
            client.send(auth, Wire(Impostor(qops=[qop])), get())

    def test_content_that_is_coded_cannot_be_checked_and_is_asked_not_to_be(
        self, client: Client, auth: SharedDigestAuth
    ) -> None:
        class Zealous(Guarded):
            def grant(self, got: Got, granted: Granted) -> httpx.Response:
                assert got.headers["accept-encoding"] == "identity"
                coded = gzip.compress(self.content)
                headers = {"Authentication-Info": granted.authentication_info(coded), "Content-Encoding": "gzip"}
                return httpx.Response(200, headers=headers, content=coded)

        with pytest.raises(httpx.RemoteProtocolError, match="cannot be checked"):
            client.send(auth, Wire(Zealous(qops=[Qop.AUTH_INT])), get())

    def test_an_answer_is_not_read_for_it_without_auth_int(self, auth: SharedDigestAuth) -> None:
        """An event stream has no end."""

        class Endless(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                while True:
                    yield b"event"

        class Streaming(Guarded):
            def grant(self, got: Got, granted: Granted) -> httpx.Response:
                return httpx.Response(200, headers=super().grant(got, granted).headers, stream=Endless())

        with (
            httpx.Client(transport=Wire(Streaming(content=b"")), auth=auth) as client,
            client.stream("GET", HOME) as answer,
        ):
            assert next(answer.iter_bytes()) == b"event"


class TestSecrecy:
    """The password stands in no representation and no exception."""

    def test_representation(self) -> None:
        auth = SharedDigestAuth("admin", "t0p-s3cret")
        assert "t0p-s3cret" not in f"{auth!r} {vars(auth)!r}"

    @pytest.mark.parametrize(("username", "password"), [("a\nb", "c"), ("a", "\udc80")])
    def test_what_cannot_be_sent_is_refused_at_once(self, username: str, password: str) -> None:
        with pytest.raises(ValueError, match=r"control character|not Unicode text"):
            SharedDigestAuth(username, password)


def test_every_algorithm_is_known() -> None:
    """httpx's own raises KeyError for SHA-512-256."""
    for algorithm in Algorithm:
        server = Device(algorithms=[algorithm])

        def answering(got: Got, server: Device = server) -> httpx.Response:
            verdict = server.ask(*([got.authorization] if got.authorization else []))
            if isinstance(verdict, Refused):
                return httpx.Response(401, headers=[("WWW-Authenticate", each) for each in verdict.www_authenticate])
            return httpx.Response(200)

        assert statuses(Client("sync").send(SharedDigestAuth("admin", "right"), Wire(answering), get())) == [200]
