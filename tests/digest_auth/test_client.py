import threading

import pytest

from digest_auth import Algorithm, DigestClient, Granted
from digest_auth._header import credentials
from tests.digest_auth.device import Device, header


class TestAccept:
    """The strongest algorithm offered, wherever it stands; what cannot be answered is left."""

    def test_the_strongest_algorithm_wins(self) -> None:
        device = Device(algorithms=(Algorithm.MD5, Algorithm.SHA_256))
        sent = credentials(header(device.client()))
        assert sent is not None
        assert sent["algorithm"] == "SHA-256"

    @pytest.mark.parametrize(
        "line",
        [
            'Basic realm="a"',
            'Digest realm="a", nonce="n", qop="auth-int"',
            'Digest realm="a", nonce="n"',
            'Digest realm="a", nonce="n", qop="auth", algorithm=SHA-512-256',
            'Digest nonce="n", qop="auth"',
            'Digest realm="a", qop="auth"',
        ],
    )
    def test_what_it_cannot_answer_is_not_accepted(self, line: str) -> None:
        client = DigestClient("a", "b")
        assert not client.accept([line])
        assert client.authorization("GET", "/") is None

    def test_opaque_is_sent_back(self) -> None:
        client = DigestClient("a", "b")
        assert client.accept(['Digest realm="r", nonce="n", qop="auth", opaque="o\\"p"'])
        sent = credentials(header(client))
        assert sent is not None
        assert sent["opaque"] == 'o"p'


class TestNonceReuse:
    """One nonce, rising counts: a 401 comes but once."""

    def test_counts_rise_from_one(self) -> None:
        client = Device().client()
        counts = [(credentials(header(client)) or {})["nc"] for _ in range(3)]
        assert counts == ["00000001", "00000002", "00000003"]

    def test_a_new_challenge_starts_again(self) -> None:
        device = Device()
        client = device.client()
        header(client)
        assert client.accept(device.challenge())
        assert device.ask(header(client)) == Granted("admin")

    def test_prepared_requests_follow_their_client_to_the_new_nonce(self) -> None:
        device = Device()
        client = device.client()
        prepared = client.prepare("GET", "/a")
        for _ in range(2):
            value = prepared.authorization()
            assert value is not None
            assert device.ask(value.decode("latin-1")) == Granted("admin")
            assert client.accept(device.challenge())

    def test_prepared_requests_share_the_counts(self) -> None:
        device = Device()
        client = device.client()
        for target in ("/a", "/b", "/a"):
            value = client.prepare("GET", target).authorization()
            assert value is not None
            assert device.ask(value.decode("latin-1"), target=target) == Granted("admin")

    def test_threads_never_share_a_count(self) -> None:
        device = Device()
        client = device.client()
        values: list[str] = []
        threads = [threading.Thread(target=lambda: values.extend(header(client) for _ in range(100))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({(credentials(value) or {})["nc"] for value in values}) == 400

    def test_forgetting_goes_out_without_credentials(self) -> None:
        client = Device().client()
        prepared = client.prepare("GET", "/a")
        client.forget()
        assert prepared.authorization() is None


def test_targets_with_quotes_are_escaped() -> None:
    device = Device()
    target = '/a"b\\c'
    assert device.ask(header(device.client(), target=target), target=target) == Granted("admin")
