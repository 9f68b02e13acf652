"""What other Digest servers got wrong, each as a test that this one does not. The docstrings name where it was seen.

"Seen" means: run with that version here; all else is the public record or the project's own source.
"""

import base64
import hmac
import re
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pytest

from digest_auth import (
    Algorithm,
    Authenticator,
    DigestClient,
    DigestRequest,
    Granted,
    MemoryReplayStore,
    Nonces,
    Refused,
    Throttle,
    UserTable,
    hash_a1,
)
from digest_auth._response import hash_a2, response
from tests.digest_auth.device import KEY, LIFETIME_S, NOW_S, REALM, Device, header, users


@pytest.fixture
def device() -> Device:
    return Device()


def status(verdict: Granted | Refused) -> int:
    return verdict.status if isinstance(verdict, Refused) else 200


def changed(value: str, name: str, new: str | None) -> str:
    """A header with a parameter changed; None: left out."""
    result, times = re.subn(
        rf'(?<![\w*]){name}=("[^"]*"|[^,]*)(, |$)', lambda _: "" if new is None else f"{name}={new}, ", value
    )
    assert times == 1
    return result.rstrip(", ")


def answered(nonce: str, secret: bytes, *, user: str = "admin", target: str = "/a", nc: str = "00000001") -> str:
    """A header computed from H(A1) itself, as somebody makes it who has no password but an idea."""
    ha2 = hash_a2(Algorithm.SHA_256, b"GET", target.encode())
    made = response(Algorithm.SHA_256, secret, nonce.encode(), nc.encode(), b"c", b"auth", ha2).decode()
    return (
        f'Digest username="{user}", realm="{REALM}", nonce="{nonce}", uri="{target}", algorithm=SHA-256,'
        f' qop=auth, nc={nc}, cnonce="c", response="{made}"'
    )


RIGHT = hash_a1(Algorithm.SHA_256, "admin", REALM, "right")


def test_what_is_made_here_by_hand_is_right(device: Device) -> None:
    """Or else it would be refused for another reason than the one in question."""
    assert status(device.ask(answered(device.nonces.issue(NOW_S), RIGHT))) == 200


class TestFlaskHTTPAuth:
    """Flask-HTTPAuth 4.8.1 (seen)."""

    def test_a_replay(self, device: Device) -> None:
        """There the nonce is in the session cookie: who sends cookie and header again is let in again and again."""
        value = header(device.client())
        assert [status(device.ask(value)) for _ in range(3)] == [200, 401, 401]

    def test_a_client_without_cookies(self, device: Device) -> None:
        """There it never gets in. Here no answer needs a cookie: a challenge and a header are all there is."""
        assert status(device.ask(header(device.client()))) == 200

    def test_another_uri(self, device: Device) -> None:
        assert status(device.ask(header(device.client(), target="/a"), target="/b")) == 400

    def test_another_realm(self, device: Device) -> None:
        """Also when the response is right for our realm: what was signed must be what is checked."""
        assert status(device.ask(changed(header(device.client()), "realm", '"elsewhere"'))) == 401

    @pytest.mark.parametrize("nc", ["1", "0000000000000001", "zzzzzzzz", "-0000001"])
    def test_a_count_that_is_none(self, device: Device, nc: str) -> None:
        """There any text does, if it was hashed."""
        assert status(device.ask(answered(device.nonces.issue(NOW_S), RIGHT, nc=nc))) == 400

    @pytest.mark.parametrize("label", ["MD5", "SHA-512-256", "none"])
    def test_a_wrong_label_of_the_algorithm(self, device: Device, label: str) -> None:
        assert status(device.ask(changed(header(device.client()), "algorithm", label))) == 401

    def test_no_qop(self, device: Device) -> None:
        """RFC 2069's response, right as such: without count and cnonce it can be replayed and precomputed."""
        nonce = device.nonces.issue(NOW_S)
        ha2 = hash_a2(Algorithm.SHA_256, b"GET", b"/a")
        made = Algorithm.SHA_256.new(b"%b:%b:%b" % (RIGHT, nonce.encode(), ha2)).hexdigest()
        value = (
            f'Digest username="admin", realm="{REALM}", nonce="{nonce}", uri="/a", algorithm=SHA-256, response="{made}"'
        )
        assert status(device.ask(value)) == 401

    def test_duplicate_parameters(self, device: Device) -> None:
        """There the last one wins: a proxy that reads the first sees another user or resource."""
        value = header(device.client())
        assert status(device.ask(value.replace("Digest ", 'Digest username="guest", '))) == 400
        assert status(device.ask(f'{value}, uri="/a"')) == 400

    def test_two_headers(self, device: Device) -> None:
        """Whether they come apart or, as WSGI hands them over, joined by a comma."""
        client = device.client()
        guest = 'Digest username="guest"'
        assert status(device.ask(guest, header(client))) == 400
        assert status(device.ask(f"{guest},{header(client)}")) == 400
        assert status(device.ask(f"{header(client)},{header(client)}")) == 400

    @pytest.mark.parametrize("user", ["admin", "nobody"])
    @pytest.mark.parametrize("name", ["nc", "cnonce"])
    def test_a_missing_parameter(self, device: Device, name: str, user: str) -> None:
        """There 500 for a user who exists and 401 for one who does not."""
        assert status(device.ask(changed(header(device.client(user)), name, None))) == 400

    @pytest.mark.parametrize("user", ["admin", "nobody"])
    @pytest.mark.parametrize("name", ["nonce", "response"])
    def test_octets_beyond_ascii(self, device: Device, name: str, user: str) -> None:
        """The same there."""
        assert status(device.ask(changed(header(device.client(user)), name, '"\xe9\xff"'))) == 401


class TestUnknownUser:
    """A user who does not exist has a secret that nobody knows, not an empty one.

    Traefik CVE-2026-85595; Tomcat CVE-2026-43512.
    """

    @pytest.mark.parametrize(
        "secret", [b"", b"None", b"null", b"0" * 64, hash_a1(Algorithm.SHA_256, "nobody", REALM, "")]
    )
    @pytest.mark.parametrize("user", ["nobody", ""])
    def test_a_response_made_from_nothing(self, device: Device, user: str, secret: bytes) -> None:
        assert status(device.ask(answered(device.nonces.issue(NOW_S), secret, user=user))) == 401

    def test_an_empty_secret_cannot_be_stored(self) -> None:
        with pytest.raises(ValueError, match="not a hash"):
            UserTable({(Algorithm.SHA_256, REALM, "admin"): b""})


class TestLockout:
    """Failed tries of one user are one number, whatever the spelling. Tomcat CVE-2026-43513."""

    def test_spellings_do_not_buy_tries(self) -> None:
        store = MemoryReplayStore()
        spellings = ("admin", "ADMIN", "Admin", "aDmIn", "\uff41dmin")
        authenticator = Authenticator(
            realm=REALM, users=users("admin"), nonces=Nonces(KEY, store, REALM), throttle=Throttle(burst=3)
        )
        statuses = []
        for spelling in spellings:
            refused = authenticator.check(DigestRequest("GET", "/a", ()), now_s=NOW_S)
            assert isinstance(refused, Refused)
            client = DigestClient(spelling, "guess")
            assert client.accept(refused.www_authenticate)
            guess = authenticator.check(DigestRequest("GET", "/a", (header(client),), "192.0.2.1"), now_s=NOW_S)
            assert isinstance(guess, Refused)
            statuses.append(guess.status)
        assert statuses == [401, 401, 401, 429, 429]


class TestLimitedReplay:
    """No replay is let through at all, early or late. Tomcat CVE-2026-65905 (its record tells no more)."""

    def test_each_count_once(self, device: Device) -> None:
        client = device.client()
        values = [header(client) for _ in range(100)]
        assert [status(device.ask(value)) for value in values] == [200] * 100
        assert [status(device.ask(value)) for value in values] == [401] * 100


class TestNonceSeed:
    """Nonces cannot be predicted, and a cluster's servers do not take each other's. httpd CVE-2018-1312."""

    def test_nonces_of_one_moment_differ_in_octets_that_nobody_can_predict(self, device: Device) -> None:
        nonces = {device.nonces.issue(NOW_S) for _ in range(100)}
        assert len({base64.urlsafe_b64decode(nonce)[17:25] for nonce in nonces}) == 100

    def test_a_nonce_of_a_server_with_another_key(self, device: Device) -> None:
        other = Device(key=bytes(32))
        assert status(device.ask(header(other.client()))) == 401

    def test_a_replay_to_a_server_with_the_same_key(self, device: Device) -> None:
        """Without a table in common its nonces are stale there: the client goes on, the recording does not."""
        value = header(device.client())
        assert status(device.ask(value)) == 200
        verdict = Device(key=device.key).ask(value)
        assert isinstance(verdict, Refused)
        assert (verdict.status, verdict.stale) == (401, True)


class TestTiming:
    """The response is compared in a time that does not tell how much of it is right. httpd CVE-2026-33006."""

    def test_the_whole_response_goes_through_a_constant_time_comparison(self, device: Device) -> None:
        value = header(device.client(password="wrong"))
        (sent,) = re.findall(r'response="([0-9a-f]{64})"', value)
        with patch.object(hmac, "compare_digest", wraps=hmac.compare_digest) as compare:
            assert status(device.ask(value)) == 401
        assert sent.encode() in [given for call in compare.call_args_list for given in call.args]


class TestForgetting:
    """Forgetting a nonce's record never makes its used counts fresh. httpd CVE-2026-73636."""

    def test_a_record_that_had_to_go(self) -> None:
        device = Device(store=MemoryReplayStore(capacity=2))
        used = header(device.client())
        assert status(device.ask(used)) == 200
        for _ in range(3):
            device.now_s += 1
            assert status(device.ask(header(device.client()))) == 200
        assert len(device.store) == 2
        assert status(device.ask(used)) == 401

    def test_a_clock_that_was_set_back(self) -> None:
        device = Device()
        used = header(device.client())
        assert status(device.ask(used)) == 200
        device.now_s += 2 * LIFETIME_S
        assert status(device.ask(header(device.client()))) == 200  # the first record is forgotten
        device.now_s -= 2 * LIFETIME_S
        assert status(device.ask(used)) == 401


class TestConcurrency:
    """Many requests at once neither break the table nor get one count twice. httpd CVE-2026-73637."""

    def test_threads_race_for_the_same_counts(self) -> None:
        device = Device(store=MemoryReplayStore(capacity=4))
        clients = [device.client() for _ in range(8)]  # more than it remembers: records come and go meanwhile
        values = [header(client) for client in clients for _ in range(25)]
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda value: (value, status(device.ask(value))), values * 4))
        assert {outcome for _, outcome in outcomes} <= {200, 401}
        granted = [value for value, outcome in outcomes if outcome == 200]
        assert granted
        assert len(granted) == len(set(granted))


class TestCounter:
    """http4s CVE-2026-69206: the counter was the last one plus one, not the highest: after a jump counts came back."""

    def test_a_replay_after_a_jump(self, device: Device) -> None:
        client = device.client()
        values = [header(client) for _ in range(50)]
        for jump in (49, 0, 1, 30):
            assert status(device.ask(values[jump])) == 200
        assert [status(device.ask(values[jump])) for jump in (49, 0, 1, 30)] == [401] * 4


class TestAge:
    """http4s CVE-2026-69208: old nonces were good and new ones were not, and each 401 took memory."""

    def test_an_old_nonce(self, device: Device) -> None:
        value = header(device.client())
        device.now_s += LIFETIME_S + 1
        assert status(device.ask(value)) == 401
        assert status(device.ask(header(device.client()))) == 200

    def test_refusals_take_no_memory(self, device: Device) -> None:
        client = device.client(password="wrong")
        for _ in range(1000):
            assert status(device.ask()) == 401
            assert status(device.ask(header(client))) == 401
        assert len(device.store) == 0


class TestNonceOfOnesOwn:
    """http4k CVE-2026-100834: any nonce was good unless somebody said otherwise."""

    @pytest.mark.parametrize(
        "nonce", ["", "0", "dcd98b7102dd2f0e8b11d0f600bfb0c093", "A" * 56, base64.urlsafe_b64encode(bytes(42)).decode()]
    )
    def test_one_that_was_not_issued(self, device: Device, nonce: str) -> None:
        assert status(device.ask(answered(nonce, RIGHT))) == 401

    def test_one_that_was_changed(self, device: Device) -> None:
        nonce = device.nonces.issue(NOW_S)
        for place in range(len(nonce)):
            other = "A" if nonce[place] != "A" else "B"
            assert status(device.ask(answered(nonce[:place] + other + nonce[place + 1 :], RIGHT))) == 401

    def test_one_of_another_realm(self, device: Device) -> None:
        elsewhere = Nonces(device.key, device.store, "elsewhere")
        assert status(device.ask(answered(elsewhere.issue(NOW_S), RIGHT))) == 401


class TestUri:
    """http4k CVE-2026-54148: `uri` was not compared with what was asked for."""

    @pytest.mark.parametrize("target", ["/b", "/a/", "/a?x", "/A", "//a", "/%61", "https://host/a", "/a#", "*"])
    def test_a_header_for_something_else(self, device: Device, target: str) -> None:
        assert status(device.ask(header(device.client(), target="/a"), target=target)) == 400

    def test_another_method(self, device: Device) -> None:
        assert status(device.ask(header(device.client()), method="DELETE")) == 401


class TestOrder:
    """A count need not be higher than the last: that refused 194 of 200 parallel requests (seen)."""

    def test_parallel_requests_of_one_client(self, device: Device) -> None:
        client = device.client()
        values = [header(client) for _ in range(200)]
        shuffled = values[1::2] + values[-2::-2]
        assert len(set(shuffled)) == 200
        assert [status(device.ask(value)) for value in shuffled] == [200] * 200
