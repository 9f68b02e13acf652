"""Digest signs the request target as it was sent: each deployment hands it over so, or `bench list` says what is lost.

Each request here is written to a socket, since no HTTP client sends such targets as they are, and carries an
Authorization header for exactly that target. 200 or 404 is an answer to somebody who was let in.
"""

import re
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h11
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ResponseReceived, StreamReset

import certs
import deployments
from deployments import RunningServer, ServeOptions
from deployments._types import RawTarget
from device_api.state import read_credentials
from digest_auth import DigestClient
from tests.deployments.clients import address

pytestmark = pytest.mark.end_to_end

SYSTEM_STATE = "/restconf/data/ietf-system:system-state"
ANSWER_S = 5.0
GRANTED = {200, 404}
ANSWERED = {200, 400, 404}  # and 401, where a header is lost that is no ASCII

# Of the targets below those that nobody can put together from their decoded path: not everything in them is escaped
# that has to be, and nothing else.
NOT_REBUILT = {
    SYSTEM_STATE.replace("-", "%2D"),
    SYSTEM_STATE.replace("/ietf", "%2Fietf"),
    SYSTEM_STATE.replace("/ietf", "%2fietf"),
    "/%7E~",
    "/%",
    "//[",
    '/"a|b\\c^`{}',
}

NOT_VALID = {'/"a|b\\c^`{}'}  # RFC 3986 section 3.3

VALID_ALONE = {RawTarget.VALID_PATH_AND_QUERY, RawTarget.VALID_ORIGIN_FORM}

LOSE_QUESTION_MARK = {
    RawTarget.LOST_QUESTION_MARK,
    RawTarget.ORIGIN_FORM,
    RawTarget.VALID_ORIGIN_FORM,
    RawTarget.REBUILT,
}


@dataclass(frozen=True)
class Asked:
    """A running deployment, and how to ask it."""

    server: RunningServer
    ask: Callable[..., int | None]  # None: it hung up without an answer
    ask_by_http2: Callable[[str], int | None]  # None: it knows no HTTP/2

    @property
    def name(self) -> str:
        return str(self.server.name)

    @property
    def claim(self) -> RawTarget:
        return deployments.find(self.server.name).abilities.raw_target

    def proxy_refuses(self, target: str) -> bool:
        """Whether no application gets to see it."""
        if self.server.name.proxy is None and self.claim is RawTarget.VALID_ORIGIN_FORM:
            return "`" in target  # hyper's word on it
        return target in deployments.find(self.server.name).refuses

    def proxy_answers(self, target: str) -> bool:
        """Whether it is let in without being asked who it is, and no application gets to see it."""
        return target in deployments.find(self.server.name).answers


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module", params=deployments.names())
def served(request: pytest.FixtureRequest, state: Path) -> Iterator[Asked]:
    with deployments.start(request.param, ServeOptions(state=state)) as server:
        ca_file = server.ca_file
        assert ca_file is not None
        context = certs.client_context(ca_file)
        digest = DigestClient(*read_credentials(server.credentials_file))

        def exchange(method: str, target: str, authorization: Sequence[str]) -> tuple[int | None, list[str]]:
            lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
            lines += [f"Authorization: {value}" for value in authorization]
            with (
                socket.create_connection(address(server), ANSWER_S) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as encrypted,
            ):
                encrypted.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
                return read_head(encrypted.recv)

        def ask(target: str, *, method: str = "GET", signed: str | None = None, headers: int = 1) -> int | None:
            """signed: the target that the header is made for, unless it is the one that is sent."""
            values = [digest.authorization(method, target if signed is None else signed) for _ in range(headers)]
            return exchange(method, target, [value for value in values if value is not None])[0]

        def ask_by_http2(target: str) -> int | None:
            authorization = digest.authorization("GET", target)
            assert authorization is not None
            both = certs.client_context(ca_file)
            both.set_alpn_protocols(["h2", "http/1.1"])
            with (
                socket.create_connection(address(server), ANSWER_S) as plain,
                both.wrap_socket(plain, server_hostname="localhost") as encrypted,
            ):
                if encrypted.selected_alpn_protocol() != "h2":
                    return None
                return status_by_http2(encrypted, target, authorization)

        status, challenges = exchange("GET", SYSTEM_STATE, ())
        assert status == 401
        assert digest.accept(challenges)
        yield Asked(server, ask, ask_by_http2)


def read_head(receive: Callable[[int], bytes]) -> tuple[int | None, list[str]]:
    """The status and the challenges; h11 is the judge of what is HTTP."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "localhost")]))
    while (event := parser.next_event()) is h11.NEED_DATA:
        octets = receive(65536)
        if not octets:
            return None, []
        parser.receive_data(octets)
    assert isinstance(event, h11.Response)
    return event.status_code, [value.decode() for name, value in event.headers if name == b"www-authenticate"]


def status_by_http2(connected: ssl.SSLSocket, target: str, authorization: str) -> int:
    """Of one request on a new connection, by h2. A reset stream is a 400 without words: RFC 9113 section 8.1.1."""
    client = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False))
    client.initiate_connection()
    fields = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", target)]
    client.send_headers(1, [*fields, ("authorization", authorization)], end_stream=True)
    while True:
        connected.sendall(client.data_to_send())
        for event in client.receive_data(connected.recv(65536)):
            if isinstance(event, ResponseReceived):
                return int(dict(event.headers)[b":status"])
            if isinstance(event, StreamReset):
                assert event.error_code == ErrorCodes.PROTOCOL_ERROR
                return 400


class TestPathsAndQueries:
    """Origin-form is exact everywhere, whatever stands in it."""

    @pytest.mark.parametrize(
        ("target", "status"),
        [
            (SYSTEM_STATE, 200),
            (f"{SYSTEM_STATE}?a=%2F&b=%7e", 200),
            (f"{SYSTEM_STATE}?a=b?c", 200),
            (f"{SYSTEM_STATE}?", 200),
            (f"{SYSTEM_STATE}??", 200),
            (SYSTEM_STATE.replace("-", "%2D"), 200),
            (SYSTEM_STATE.replace("/ietf", "%2Fietf"), 404),
            (SYSTEM_STATE.replace("/ietf", "%2fietf"), 404),
            (SYSTEM_STATE.replace("/data/", "//data//"), 404),
            (SYSTEM_STATE.replace("/data/", "/x/../data/"), 404),
            (f"/{SYSTEM_STATE}", 404),
            (f"//{SYSTEM_STATE}?", 404),
            ("//[", 404),
            ("//", 404),
            ("/?", 404),
            (f"{SYSTEM_STATE};a=b;c", 404),
            (f"{SYSTEM_STATE};", 404),
            ("/%7E~", 404),
            ("/%", 404),
            ("/%00", 404),
            ('/"a|b\\c^`{}', 404),
        ],
    )
    def test_is_signed_as_it_was_sent(self, served: Asked, target: str, status: int) -> None:
        """A server that takes what stands after two slashes for an authority refuses it."""
        refused = served.claim is RawTarget.ORIGIN_FORM_ALONE and re.match("//[^/]", target)
        lost = served.claim is RawTarget.REBUILT and target in NOT_REBUILT
        lost |= served.claim in VALID_ALONE and target in NOT_VALID
        assert served.ask(target) == (400 if refused or lost or served.proxy_refuses(target) else status)

    def test_the_server_as_a_whole(self, served: Asked) -> None:
        status = 400 if served.proxy_refuses("*") else 200 if served.proxy_answers("*") else 404
        assert served.ask("*", method="OPTIONS") == status


class TestAbsoluteForm:
    """RFC 9112 section 3.2.2: a server takes it; one that hands over its path alone leaves nothing to compare with."""

    @pytest.mark.parametrize(
        ("target", "status"),
        [
            (f"https://localhost{SYSTEM_STATE}", 200),
            (f"https://localhost{SYSTEM_STATE}?", 200),
            (f"https://localhost{SYSTEM_STATE}?a", 200),
            ("https://localhost", 404),
            ("https://localhost?a", 404),
            ("https://localhost/", 404),
            (f"https://localhost/{SYSTEM_STATE}", 404),
        ],
    )
    def test_is_signed_as_it_was_sent_or_refused(self, served: Asked, target: str, status: int) -> None:
        refused = served.claim not in {RawTarget.EXACT, RawTarget.LOST_QUESTION_MARK}
        assert served.ask(target) == (400 if refused or served.proxy_refuses(target) else status)


class TestBareQuestionMark:
    """The one difference that is borne: ASGI cannot tell `/a?` from `/a`, and neither can a resource."""

    def test_a_header_for_the_target_with_it_opens_the_one_without(self, served: Asked) -> None:
        assert served.ask(SYSTEM_STATE, signed=f"{SYSTEM_STATE}?") == 200

    def test_a_header_for_the_target_without_it_opens_the_other_only_where_it_is_lost(self, served: Asked) -> None:
        refused = served.claim not in LOSE_QUESTION_MARK
        assert served.ask(f"{SYSTEM_STATE}?", signed=SYSTEM_STATE) == (400 if refused else 200)


class TestOtherTargets:
    """Nothing else is borne: what was signed for one target opens no other, however alike."""

    @pytest.mark.parametrize(
        "signed",
        [
            SYSTEM_STATE.replace("/ietf", "%2Fietf"),
            SYSTEM_STATE.replace("s", "%73", 1),
            f"{SYSTEM_STATE}?a",
            f"{SYSTEM_STATE}??",
            f"{SYSTEM_STATE}/",
            f"{SYSTEM_STATE};",
            f"{SYSTEM_STATE}#",
            f"/{SYSTEM_STATE}",
            f"https://localhost{SYSTEM_STATE}",
            SYSTEM_STATE.upper(),
            "*",
            "",
        ],
    )
    def test_is_refused(self, served: Asked, signed: str) -> None:
        assert served.ask(SYSTEM_STATE, signed=signed) == 400

    def test_an_encoded_slash_is_not_the_same_in_the_other_case(self, served: Asked) -> None:
        assert served.ask("/restconf%2fdata", signed="/restconf%2Fdata") == 400

    def test_an_escaped_question_mark_begins_no_query(self, served: Asked) -> None:
        plain, escaped = f"{SYSTEM_STATE}?a", f"{SYSTEM_STATE}%3Fa"
        assert [served.ask(plain, signed=escaped), served.ask(escaped, signed=plain)] == [400, 400]

    def test_where_escapes_are_lost_what_was_signed_is_what_is_served(self, served: Asked) -> None:
        """The one difference that is borne there: nobody gets more by sending another target than the one signed."""
        escaped = SYSTEM_STATE.replace("/ietf", "%2Fietf")
        rebuilt = served.claim is RawTarget.REBUILT
        assert served.ask(escaped, signed=SYSTEM_STATE) == (200 if rebuilt else 400)
        assert served.ask(f"{escaped}/x", signed=f"{SYSTEM_STATE}/x") == (404 if rebuilt else 400)

    def test_leading_slashes_count(self, served: Asked) -> None:
        assert served.ask(f"/{SYSTEM_STATE}", signed=SYSTEM_STATE) == 400

    def test_a_public_path_is_only_itself(self, served: Asked) -> None:
        other = 400 if served.claim is RawTarget.ORIGIN_FORM_ALONE else 401
        assert [served.ask(path, headers=0) for path in ("/health", "//health")] == [200, other]


class TestTwoHeaders:
    """Whether a server joins fields, as WSGI's do, or hands over each: two right headers are not one."""

    def test_is_refused(self, served: Asked) -> None:
        assert served.ask(SYSTEM_STATE, headers=2) == 400


class TestHttp2:
    """A target is one field there (:path), and no less exact."""

    @pytest.mark.parametrize(
        ("target", "status"),
        [
            (f"{SYSTEM_STATE}?a=%2F&b=%7e", 200),
            (f"{SYSTEM_STATE}?", 200),
            (SYSTEM_STATE.replace("/ietf", "%2Fietf"), 404),
            (f"/{SYSTEM_STATE}", 404),
            ("/%", 404),
        ],
    )
    def test_is_signed_as_it_was_sent(self, served: Asked, target: str, status: int) -> None:
        knows = "h2" in deployments.find(served.server.name).abilities.alpn
        lost = served.claim is RawTarget.REBUILT and target in NOT_REBUILT
        refused = lost or served.proxy_refuses(target)
        assert served.ask_by_http2(target) == ((400 if refused else status) if knows else None)


class TestMalformed:
    """What is no target is refused, or borne; it is never a 500 and never an error in the log."""

    @pytest.mark.parametrize(
        "target",
        [
            "/caf\xc3\xa9",  # UTF-8
            "/?\xff",
            "/\x85",  # which str.split takes for a space
            "/#fragment",
            "restconf",
            "?a",
            "?",
            "*",  # with GET
            "%2F",
            "localhost:443",
            "https:",
            "https://",
            "https:///x",
            f"HTTPS://LOCALHOST{SYSTEM_STATE}",
            "/\x00",
            "/a b",
        ],
    )
    def test_is_answered(self, served: Asked, target: str) -> None:
        """uWSGI's status line begins with the version that it was told, whatever that is: no HTTP, but no harm."""
        if served.name == "flask-uwsgi" and target == "/a b":
            with pytest.raises(h11.RemoteProtocolError, match=r"'b HTTP/1\.1 400 BAD REQUEST'"):
                served.ask(target)
            return
        assert served.ask(target) in ANSWERED | ({401} if served.claim is RawTarget.REBUILT else set())
        assert served.ask(target, headers=0) in {400, 401}

    @pytest.mark.parametrize(
        "target", ["https://[", "https://]/x", "http://[x]/", "https://h:x/x", "https://h:99999/x"]
    )
    def test_an_authority_that_python_cannot_read(self, served: Asked, target: str) -> None:
        """Werkzeug's server fails at it by itself, before any application is asked, and hangs up."""
        refused = {None} if served.name == "flask-werkzeug" else {400, 401}
        assert served.ask(target, headers=0) in refused

    def test_a_target_of_64_kib(self, served: Asked) -> None:
        try:
            status = served.ask("/" + "a" * 65536, headers=0)
        except (ssl.SSLEOFError, ConnectionError):  # as None: it hung up while some of it was still on its way
            return
        assert status in {None, 400, 414, 431}

    def test_none_of_it_was_an_error_in_the_log(self, served: Asked) -> None:
        """Last. Werkzeug's failure above is its own."""
        log = served.server.log.read_text()
        if served.name != "flask-werkzeug":
            assert "Traceback" not in log
            assert re.search(r"\b(ERROR|CRITICAL)\b", log) is None
