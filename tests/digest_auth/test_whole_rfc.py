"""What RFC 7616 has beyond qop=auth and a plain algorithm: each part, asked of the server's check."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest_auth import Algorithm, AwaitingBody, Claim, DigestClient, DigestRequest, Granted, Qop, Refused, Throttle
from digest_auth._header import Credentials, HeaderError, credentials
from tests.digest_auth.device import LIFETIME_S, NOW_S, REALM, Device, header, users

SESSIONS = [algorithm for algorithm in Algorithm if algorithm.is_session]


def status(verdict: Granted | Refused) -> int:
    return verdict.status if isinstance(verdict, Refused) else 200


def granted(verdict: Granted | Refused) -> Granted:
    assert isinstance(verdict, Granted)
    return verdict


class TestSessionAlgorithms:
    """-sess: A1 holds the nonce and the cnonce as well (section 3.4.2)."""

    @pytest.mark.parametrize("algorithm", SESSIONS)
    def test_many_requests_on_one_nonce(self, algorithm: Algorithm) -> None:
        device = Device(algorithms=(algorithm,))
        client = device.client()
        assert [status(device.ask(header(client))) for _ in range(3)] == [200] * 3

    def test_a_wrong_password(self) -> None:
        device = Device(algorithms=(Algorithm.SHA_256_SESS,))
        assert status(device.ask(header(device.client(password="wrong")))) == 401

    def test_the_plain_variant_is_not_offered_by_the_way(self) -> None:
        device = Device(algorithms=(Algorithm.SHA_256_SESS,))
        plain = Device(store=device.store).client()
        assert status(device.ask(header(plain))) == 401

    def test_no_next_nonce_since_a1_holds_the_first(self) -> None:
        device = Device(algorithms=(Algorithm.SHA_256_SESS,), count_limit=1)
        assert "nextnonce" not in granted(device.ask(header(device.client()))).authentication_info()


class TestAuthInt:
    """The response covers the body, which is asked for once the nonce is known to be genuine (section 3.4.3)."""

    @pytest.fixture
    def device(self) -> Device:
        return Device(qops=(Qop.AUTH_INT,))

    @pytest.mark.parametrize("body", [b"", b'{"count": 3}', bytes(range(256)) * 300])
    def test_the_body_that_was_signed(self, device: Device, body: bytes) -> None:
        value = device.client().authorization("POST", "/a", body)
        assert value is not None
        assert status(device.ask(value, method="POST", body=body)) == 200

    def test_another_body(self, device: Device) -> None:
        value = device.client().authorization("POST", "/a", b"one")
        assert value is not None
        assert status(device.ask(value, method="POST", body=b"two")) == 401

    def test_chunks_are_the_body(self, device: Device) -> None:
        value = device.client().authorization("POST", "/a", b"one body")
        assert value is not None
        awaiting = device.authenticator.check(DigestRequest("POST", "/a", [value]), now_s=NOW_S)
        assert isinstance(awaiting, AwaitingBody)
        for chunk in (b"one", b"", b" body"):
            awaiting.update(chunk)
        assert isinstance(awaiting.decide(now_s=NOW_S), Claim)

    def awaiting(self, device: Device, *, password: str = "right") -> AwaitingBody:
        request = DigestRequest("GET", "/a", [header(device.client(password=password))])
        awaiting = device.authenticator.check(request, now_s=device.now_s)
        assert isinstance(awaiting, AwaitingBody)
        return awaiting

    def test_a_body_that_outlasts_the_nonce_is_stale(self, device: Device) -> None:
        """Its count may have been used, and the record of that be gone, while the body was on its way."""
        verdict = self.awaiting(device).decide(now_s=device.now_s + LIFETIME_S + 1)
        assert isinstance(verdict, Refused)
        assert verdict.stale

    def test_the_fresh_nonce_after_a_slow_body_is_fresh(self, device: Device) -> None:
        verdict = self.awaiting(device).decide(now_s=device.now_s + 2 * LIFETIME_S)
        assert isinstance(verdict, Refused)
        device.now_s += 2 * LIFETIME_S
        client = DigestClient("admin", "right")
        assert client.accept(verdict.www_authenticate)
        assert status(device.ask(header(client))) == 200

    def test_a_slow_body_is_no_clock_that_was_set_back(self, device: Device) -> None:
        epoch, slow = device.store.epoch, self.awaiting(device)
        device.now_s += LIFETIME_S / 2
        for _ in range(10):
            assert status(device.ask(header(device.client()))) == 200
        claim = slow.decide(now_s=device.now_s)
        assert isinstance(claim, Claim)
        assert device.store.use(claim)
        assert device.store.epoch == epoch

    def test_waiting_bodies_are_no_way_round_the_throttle(self) -> None:
        device = Device(qops=(Qop.AUTH_INT,), throttle=Throttle(burst=3, per_minute=6))
        guesses = [self.awaiting(device, password="wrong") for _ in range(10)]
        verdicts = [guess.decide(now_s=device.now_s) for guess in guesses]
        assert [verdict.status for verdict in verdicts if isinstance(verdict, Refused)] == [401] * 3 + [429] * 7

    def test_no_body_is_read_for_a_nonce_that_was_not_issued_here(self, device: Device) -> None:
        stranger = Device(key=b"another key of 32 octets or more", qops=(Qop.AUTH_INT,)).client()
        verdict = device.authenticator.check(DigestRequest("GET", "/a", [header(stranger)]), now_s=NOW_S)
        assert isinstance(verdict, Refused)

    def test_it_is_no_way_round_where_it_was_not_offered(self) -> None:
        device = Device()
        signed = Device(store=device.store, qops=(Qop.AUTH_INT,)).client()
        assert status(device.ask(header(signed))) == 401

    def test_the_answer_covers_its_own_body(self, device: Device) -> None:
        client = device.client()
        value = client.authorization("GET", "/a", b"")
        assert value is not None
        verdict = granted(device.ask(value))
        assert verdict.covers_body
        assert verdict.authentication_info(b"one") != verdict.authentication_info(b"two")

    def test_both_are_offered_in_one_challenge(self) -> None:
        (line,) = Device(qops=(Qop.AUTH, Qop.AUTH_INT)).challenge()
        assert 'qop="auth, auth-int"' in line


class TestUserhash:
    """The name may be sent as H(user:realm), where that was offered (section 3.4.4)."""

    @pytest.mark.parametrize("algorithm", [Algorithm.SHA_256, Algorithm.SHA_512_256_SESS])
    def test_a_hashed_name(self, algorithm: Algorithm) -> None:
        device = Device(userhash=True, algorithms=(algorithm,))
        value = header(device.client())
        assert "admin" not in value
        assert device.ask(value) == Granted("admin")

    def test_a_plain_name_still_works(self) -> None:
        device = Device(userhash=True)
        client = DigestClient("admin", "right")
        assert client.accept([re.sub(", userhash=true", "", line) for line in device.challenge()])
        assert device.ask(header(client)) == Granted("admin")

    def test_it_is_not_taken_where_it_was_not_offered(self) -> None:
        hidden = Device(userhash=True)
        assert status(Device(store=hidden.store).ask(header(hidden.client()))) == 401

    def test_an_unknown_hash_is_like_a_wrong_password(self) -> None:
        device = Device(userhash=True)
        unknown, wrong = device.ask(header(device.client("nobody"))), device.ask(header(device.client(password="x")))
        assert isinstance(unknown, Refused)
        assert isinstance(wrong, Refused)
        assert (unknown.status, unknown.reason) == (wrong.status, wrong.reason) == (401, wrong.reason)


class TestExtendedUsername:
    """username* carries a name beyond ASCII (RFC 8187), and comes alone."""

    def test_it_names_the_user(self) -> None:
        device = Device(known=users("Jäsøn Doe"))
        value = header(device.client("Jäsøn Doe"))
        assert "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe" in value
        assert device.ask(value) == Granted("Jäsøn Doe")

    @pytest.mark.parametrize(
        ("replacement"),
        [
            "username=\"Jäsøn\", username*=UTF-8''J%C3%A4s%C3%B8n",
            "username*=UTF-8''J%C3%A4s%C3%B8n, userhash=true",
            "username*=ISO-8859-1''J%E4s%F8n",
            "username*=UTF-8''%FF",
            "username*=J",
            "username*=UTF-8''%4",
        ],
    )
    def test_what_is_no_such_name_is_a_400(self, replacement: str) -> None:
        device = Device(known=users("Jäsøn"))
        value = header(device.client("Jäsøn")).replace("username*=UTF-8''J%C3%A4s%C3%B8n", replacement)
        assert status(device.ask(value)) == 400


class TestOpaqueAndDomain:
    def test_both_stand_in_the_challenge(self) -> None:
        (line,) = Device(opaque="x1", domain=("/restconf", "/firmware")).challenge()
        assert 'domain="/restconf /firmware"' in line
        assert 'opaque="x1"' in line

    def test_opaque_comes_back_as_it_was(self) -> None:
        device = Device(opaque="x1")
        value = header(device.client())
        assert 'opaque="x1"' in value
        assert status(device.ask(value)) == 200

    def test_another_opaque_is_refused_and_none_is_borne(self) -> None:
        device = Device(opaque="x1")
        client = device.client()
        assert status(device.ask(header(client).replace('opaque="x1"', 'opaque="x2"'))) == 401
        assert status(device.ask(header(client).replace(', opaque="x1"', ""))) == 200

    def test_the_charset_is_said(self) -> None:
        assert "charset=UTF-8" in Device().challenge()[0]


class TestAuthenticationInfo:
    """The answer proves that the server knows the password, and names the next nonce in time (section 3.5)."""

    def test_rspauth_is_the_formula_of_the_section(self) -> None:
        device = Device()
        sent = credentials(header(device.client()))
        assert sent is not None
        value = granted(device.ask(rebuilt(sent))).authentication_info()
        ha1 = hashlib.sha256(f"admin:{REALM}:right".encode()).hexdigest()
        ha2 = hashlib.sha256(b":/a").hexdigest()
        parts = (ha1, sent["nonce"], sent["nc"], sent["cnonce"], "auth", ha2)
        expected = hashlib.sha256(":".join(parts).encode()).hexdigest()
        assert value == f'qop=auth, rspauth="{expected}", cnonce="{sent["cnonce"]}", nc=00000001'

    def test_the_next_nonce_comes_near_the_end_of_the_counts(self) -> None:
        device = Device(count_limit=10)
        client = device.client()
        infos = [granted(device.ask(header(client))).authentication_info() for _ in range(10)]
        assert ["nextnonce" in info for info in infos] == [False] * 7 + [True] * 3

    def test_the_next_nonce_comes_near_the_end_of_the_lifetime(self) -> None:
        device = Device()
        client = device.client()
        device.now_s += LIFETIME_S * 0.79
        assert "nextnonce" not in granted(device.ask(header(client))).authentication_info()
        device.now_s += LIFETIME_S * 0.02
        assert "nextnonce" in granted(device.ask(header(client))).authentication_info()

    def test_the_next_nonce_is_good(self) -> None:
        device = Device(count_limit=1)
        client = device.client()
        value = header(client)
        assert client.learn(granted(device.ask(value)).authentication_info(), authorization=value)
        assert status(device.ask(header(client))) == 200

    def test_a_granted_without_a_claim_has_none(self) -> None:
        with pytest.raises(ValueError, match="no claim"):
            Granted("admin").authentication_info()


class TestThrottle:
    """Before the user is looked up; charged where a genuine nonce came with a wrong response, and nowhere else."""

    @pytest.fixture
    def device(self) -> Device:
        return Device(throttle=Throttle(burst=3, per_minute=6))

    @pytest.mark.parametrize("user", ["admin", "nobody"])
    def test_known_and_unknown_users_alike_are_slowed(self, device: Device, user: str) -> None:
        guesser = device.client(user, "wrong")
        assert [status(device.ask(header(guesser))) for _ in range(5)] == [401, 401, 401, 429, 429]

    def test_it_says_how_long_to_wait_and_challenges_nobody(self, device: Device) -> None:
        guesser = device.client(password="wrong")
        verdict = [device.ask(header(guesser)) for _ in range(4)][-1]
        assert isinstance(verdict, Refused)
        assert (verdict.status, verdict.retry_after_s, verdict.www_authenticate) == (429, 10, ())

    def test_a_right_password_within_the_limit_gets_in_and_costs_nothing(self, device: Device) -> None:
        guesser, owner = device.client(password="wrong"), device.client()
        assert [status(device.ask(header(guesser))) for _ in range(2)] == [401, 401]
        assert [status(device.ask(header(owner))) for _ in range(20)] == [200] * 20

    def test_after_the_wait_a_right_password_gets_in(self, device: Device) -> None:
        guesser, owner = device.client(password="wrong"), device.client()
        for _ in range(4):
            device.ask(header(guesser))
        assert status(device.ask(header(owner))) == 429
        device.now_s += 10
        assert status(device.ask(header(owner))) == 200

    def test_other_addresses_are_not_slowed(self, device: Device) -> None:
        guesser = device.client(password="wrong")
        for _ in range(4):
            device.ask(header(guesser), address="198.51.100.7")
        assert status(device.ask(header(device.client()))) == 200

    def test_what_came_without_a_genuine_nonce_is_not_charged(self, device: Device) -> None:
        stranger = Device(key=b"another key of 32 octets or more").client(password="wrong")
        for _ in range(50):
            assert status(device.ask(header(stranger))) == 401
            assert status(device.ask()) == 401
            assert status(device.ask("Digest nonsense")) == 400
        assert device.throttle is not None
        assert len(device.throttle) == 0

    def test_a_stale_nonce_is_not_charged(self, device: Device) -> None:
        values = [header(device.client()) for _ in range(10)]
        device.now_s += LIFETIME_S + 1
        assert {status(device.ask(value)) for value in values} == {401}
        assert status(device.ask(header(device.client()))) == 200


class TestCommonForm:
    """Headers as most clients write them are read by one match, which means what the whole grammar means."""

    PARAMETER = st.one_of(
        st.tuples(
            st.sampled_from(["username", "realm", "nonce", "uri", "response", "cnonce", "opaque"]),
            st.text(st.sampled_from('ab ,="\\\x1f\xe4'), max_size=4).map(lambda text: f'"{text}"'),
        ),
        st.tuples(
            st.sampled_from(["algorithm", "qop", "nc", "userhash", "realm"]),
            st.sampled_from(["auth", '"auth"', "", "00000001", "SHA-256", "a b"]),
        ),
    )

    @given(
        st.lists(PARAMETER, max_size=6),
        st.sampled_from([", ", ",", " , ", ", , "]),
        st.sampled_from(["Digest ", "digest ", "Digest  ", " Digest "]),
        st.sampled_from(["", ",", ", ", " "]),
    )
    def test_both_ways_of_reading_agree(
        self, parameters: list[tuple[str, str]], comma: str, scheme: str, end: str
    ) -> None:
        value = scheme + comma.join(f"{name}={text}" for name, text in parameters) + end
        try:
            grammar = credentials(value)
        except HeaderError:
            with pytest.raises(HeaderError):
                Credentials.parse(value)
            return
        read = Credentials.parse(value)
        assert read is not None
        assert grammar is not None
        known = {name: grammar.get(name) for name in read._fields if name != "extended_username"}
        assert read._asdict() == known | {"extended_username": grammar.get("username*")}

    def test_our_own_client_writes_it(self) -> None:
        value = header(Device().client())
        read = Credentials.parse(value)
        assert read is not None
        assert read.nc == "00000001"


def rebuilt(sent: dict[str, str]) -> str:
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in sent.items())
