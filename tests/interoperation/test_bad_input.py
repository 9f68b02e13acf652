"""What nobody in good faith sends, over real connections to both implementations: refused in order, and not remarkable.

A status as digest_auth's order of checks says, a body as RFC 8040 section 7.1 says, nothing that is a 500, and nothing
in the log that is an error or a secret.
"""

import json
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import h11
import pytest

import certs
from device_api.state import StateLayout, read_credentials
from digest_auth import DigestClient
from tests.devices import DEVICES, RunningDevice, running_device

pytestmark = pytest.mark.end_to_end

SYSTEM_STATE = "/restconf/data/ietf-system:system-state"
ANSWER_S = 5.0
OCTETS = {"utf-8": "caf\xc3\xa9", "latin-1": "caf\xe9", "neither": "\xff\xfe\x80"}  # a character stands for an octet


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        """What an RFC 8040 body says; there has to be one."""
        assert self.headers["content-type"] == "application/yang-data+json"
        (error,) = json.loads(self.body)["ietf-restconf:errors"]["error"]
        assert error["error-tag"] == {400: "malformed-message", 401: "access-denied"}[self.status]
        return str(error["error-message"])


class Stranger:
    """Somebody with a socket, who may also know the password."""

    def __init__(self, name: str, device: RunningDevice, state: Path) -> None:
        self.name = name
        self.device = device
        assert device.ready.ca_file is not None
        self._context = certs.client_context(device.ready.ca_file)
        self.user, self.password = read_credentials(StateLayout(state).credentials_file)
        self._digest = DigestClient(self.user, self.password)

    def right(self) -> str:
        """A header that opens SYSTEM_STATE, once."""
        value = self._digest.authorization("GET", SYSTEM_STATE)
        if value is None:
            assert self._digest.accept([self.ask().headers["www-authenticate"]])
            value = self._digest.authorization("GET", SYSTEM_STATE)
        assert value is not None
        return value

    def ask(self, *authorization: str, more: Sequence[str] = ()) -> Answer:
        lines = [f"GET {SYSTEM_STATE} HTTP/1.1", "Host: localhost", "Connection: close", *more]
        lines += [f"Authorization: {value}" for value in authorization]
        with (
            socket.create_connection(self.device.address, ANSWER_S) as plain,
            self._context.wrap_socket(plain, server_hostname="localhost") as encrypted,
        ):
            encrypted.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            parser = h11.Connection(h11.CLIENT)
            parser.send(h11.Request(method="GET", target="/", headers=[("Host", "localhost")]))
            parser.send(h11.EndOfMessage())
            body = b""
            while not isinstance(event := parser.next_event(), (h11.EndOfMessage, h11.ConnectionClosed)):
                if event is h11.NEED_DATA:
                    parser.receive_data(encrypted.recv(65536))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    headers = {name.decode().lower(): value.decode("latin-1") for name, value in event.headers}
                elif isinstance(event, h11.Data):
                    body += event.data
        return Answer(status, headers, body)


@pytest.fixture(scope="module", params=DEVICES)
def stranger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    folder = tmp_path_factory.mktemp("device")
    with (
        # As talkative as it can be; and nobody in good faith tries so often.
        patch.dict(os.environ, {"DEVICE_LOG_LEVEL": "debug", "DEVICE_FAILED_TRIES": "0"}),
        running_device(request.param, folder, shows_log=False) as device,
    ):
        yield Stranger(request.param, device, folder / "state")


def with_value(header: str, name: str, value: str | None) -> str:
    """The header with a parameter changed; None: left out."""
    new = "" if value is None else f"{name}={value}, "
    changed, times = re.subn(rf'(?<![\w*]){name}=("[^"]*"|[^,]*)(, |$)', lambda _: new, header)
    assert times == 1
    return changed.rstrip(", ")


class TestMissing:
    """Each parameter in turn is left out."""

    @pytest.mark.parametrize("name", ["username", "realm", "nonce", "uri", "response", "nc", "cnonce"])
    def test_one_that_has_to_be_there(self, stranger: Stranger, name: str) -> None:
        answer = stranger.ask(with_value(stranger.right(), name, None))
        assert (answer.status, name in answer.reason) == (400, True)

    @pytest.mark.parametrize("name", ["qop", "algorithm"])
    def test_one_that_chooses_what_is_not_offered(self, stranger: Stranger, name: str) -> None:
        """RFC 2069's form, and MD5."""
        answer = stranger.ask(with_value(stranger.right(), name, None))
        assert (answer.status, name in answer.reason) == (401, True)


class TestOctets:
    """Octets beyond ASCII in each field."""

    @pytest.mark.parametrize("octets", OCTETS.values(), ids=OCTETS)
    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("username", 401),
            ("realm", 401),
            ("nonce", 401),
            ("uri", 400),
            ("response", 401),
            ("nc", 400),
            ("cnonce", 400),
            ("qop", 401),
            ("algorithm", 401),
        ],
    )
    def test_in_a_parameter(self, stranger: Stranger, name: str, status: int, octets: str) -> None:
        answer = stranger.ask(with_value(stranger.right(), name, f'"{octets}"'))
        assert answer.status == status
        assert answer.reason.isascii()

    @pytest.mark.parametrize("octets", OCTETS.values(), ids=OCTETS)
    def test_in_a_parameter_that_nobody_knows(self, stranger: Stranger, octets: str) -> None:
        assert stranger.ask(f'{stranger.right()}, shoe-size="{octets}"').status == 200

    @pytest.mark.parametrize("octets", OCTETS.values(), ids=OCTETS)
    def test_in_place_of_the_scheme_of_a_name_or_unquoted(self, stranger: Stranger, octets: str) -> None:
        right = stranger.right()
        headers = [octets, f"{octets} {right}", f"Digest {octets}=1", with_value(right, "cnonce", octets)]
        assert [stranger.ask(header).status for header in headers] == [401, 401, 400, 400]

    @pytest.mark.parametrize("octets", OCTETS.values(), ids=OCTETS)
    def test_in_a_field_that_is_not_about_credentials(self, stranger: Stranger, octets: str) -> None:
        assert stranger.ask(stranger.right(), more=[f"X-Any: {octets}", f"Cookie: a={octets}"]).status == 200


class TestTwoHeaders:
    """RFC 9110 section 11.6.2 knows one field; of two, one would be checked by somebody else."""

    def test_of_two_right_ones_none_counts(self, stranger: Stranger) -> None:
        answer = stranger.ask(stranger.right(), stranger.right())
        assert answer.status == 400
        assert answer.reason

    @pytest.mark.parametrize("other", ["Basic YWRtaW46YQ==", "Digest", "Digest username=admin", "x"])
    def test_a_right_one_does_not_save_another(self, stranger: Stranger, other: str) -> None:
        assert stranger.ask(stranger.right(), other).status == 400
        assert stranger.ask(other, stranger.right()).status in {400, 401}

    def test_what_would_be_one_header_if_it_were_put_together(self, stranger: Stranger) -> None:
        """WSGI, as CGI, joins fields with a comma (PEP 3333): what is checked there is the whole, and so it is one."""
        joins = stranger.name.startswith("flask")
        first, second = stranger.right().split(", ", 1)
        assert stranger.ask(first, second).status == (200 if joins else 400)
        assert stranger.ask(stranger.right(), "").status == (200 if joins else 400)

    def test_what_is_spelled_like_it_is_another_field(self, stranger: Stranger) -> None:
        """CGI's way of naming fields makes no difference between the two."""
        assert stranger.ask(more=[f"Authorization_: {stranger.right()}"]).status == 401
        assert stranger.ask(more=[f"X-Authorization: {stranger.right()}"]).status == 401


class TestSize:
    """Long values are refused, by the check or by the server before it, and cost nobody else anything."""

    def test_more_than_the_check_reads(self, stranger: Stranger) -> None:
        answer = stranger.ask(f'{stranger.right()}, long="{"a" * 8192}"')
        assert (answer.status, "8192" in answer.reason) == (400, True)

    @pytest.mark.parametrize("value", ["Digest " + "a" * 100_000, "Digest " + "a=b, " * 20_000, "," * 100_000])
    def test_100_kilobytes(self, stranger: Stranger, value: str) -> None:
        assert stranger.ask(value).status == 431

    @pytest.mark.parametrize("value", ["Digest " + '\\"' * 4000, "Digest a=" + "," * 8000, 'Digest a="' + "=" * 8000])
    def test_what_could_make_a_parser_slow(self, stranger: Stranger, value: str) -> None:
        assert stranger.ask(value).status == 400


class TestOtherSchemes:
    """What is no Digest is challenged."""

    @pytest.mark.parametrize("value", ["Basic YWRtaW46YWRtaW4=", "Bearer abc", "Digestive a=b", "", "  "])
    def test_it_is_a_401(self, stranger: Stranger, value: str) -> None:
        answer = stranger.ask(value)
        assert answer.status == 401
        assert answer.reason
        assert answer.headers["www-authenticate"].startswith('Digest realm="network-device", ')


def test_nothing_of_all_this_is_in_the_log(stranger: Stranger) -> None:
    """Last. Not as an error; and neither what is secret, nor what could be tried again."""
    right = stranger.right()
    assert stranger.ask(right).status == 200
    log = "\n".join(stranger.device.logged())
    assert re.search(r"Traceback|\b(WARNING|ERROR|CRITICAL)\b", log) is None
    secrets = re.findall(r'(?:nonce|response)="([^"]+)"', right)
    assert len(secrets) == 3
    for secret in (stranger.password, *secrets, "Digest username", "YWRtaW46YWRtaW4="):
        # The password is shown to whoever starts the device for the first time, before anybody has asked.
        assert secret not in log.partition("listening")[2]
