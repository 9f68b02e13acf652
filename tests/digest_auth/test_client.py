import logging
import threading
import traceback
from collections.abc import Sequence
from itertools import cycle

import gevent
import pytest

from digest_auth import (
    Algorithm,
    Authenticator,
    AwaitingBody,
    Claim,
    DigestClient,
    DigestRequest,
    Granted,
    Qop,
    Refused,
)
from digest_auth._client import RspauthError
from digest_auth._header import credentials
from tests.digest_auth.device import LIFETIME_S, REALM, Device, header, users

USER, PASSWORD = "admin", "right"
NONE_SENT = ""


class Server(Device):
    """A device with the rarer settings; tells what it granted."""

    def __init__(
        self,
        *algorithms: Algorithm,
        qops: Sequence[Qop] = (Qop.AUTH,),
        name: str = USER,
        userhash: bool = False,
        domain: Sequence[str] = (),
    ) -> None:
        super().__init__(algorithms=algorithms or (Algorithm.SHA_256,), known=users(name))
        self.authenticator = Authenticator(
            realm=REALM,
            users=self.known,
            nonces=self.nonces,
            algorithms=self.algorithms,
            qops=qops,
            nonce_lifetime_s=LIFETIME_S,
            userhash=userhash,
            domain=domain,
        )

    def verdict(
        self, authorization: str, method: str = "GET", target: str = "/a", body: bytes = b""
    ) -> Granted | Refused:
        verdict = self.authenticator.check(DigestRequest(method, target, [authorization]), now_s=self.now_s)
        if isinstance(verdict, AwaitingBody):
            verdict.update(body)
            verdict = verdict.decide(now_s=self.now_s)
        if isinstance(verdict, Claim):
            return verdict.settle(unused=self.store.use(verdict))
        return verdict

    def granted(self, authorization: str, body: bytes = b"") -> Granted:
        verdict = self.verdict(authorization, body=body)
        assert isinstance(verdict, Granted), verdict
        return verdict


def challenge(nonce: str = "n", *, realm: str = "r", more: str = "") -> list[str]:
    return [f'Digest realm="{realm}", nonce="{nonce}", qop="auth", algorithm=SHA-256{more}']


def client_of(lines: Sequence[str], user: str = USER, password: str = PASSWORD, **options: bool) -> DigestClient:
    client = DigestClient(user, password, **options)
    assert client.accept(lines)
    return client


def sent(client: DigestClient) -> dict[str, str]:
    parameters = credentials(header(client))
    assert parameters is not None
    return parameters


def nonce_of(client: DigestClient) -> str:
    return sent(client)["nonce"]


class TestChoice:
    """256 bits before MD5, wherever it stands; among equals the server's order; what cannot be answered is left."""

    @pytest.mark.parametrize(
        ("offered", "taken"),
        [
            (["MD5", "SHA-256"], "SHA-256"),
            (["MD5", "SHA-512-256"], "SHA-512-256"),
            (["MD5-sess", "SHA-256-sess"], "SHA-256-sess"),
            (["SHA-256", "SHA-512-256"], "SHA-256"),
            (["SHA-512-256", "SHA-256"], "SHA-512-256"),
            (["SHA-256-sess", "SHA-256"], "SHA-256-sess"),
            (["SHA-1", "MD5", "MD5-sess"], "MD5"),
        ],
    )
    def test_of_several(self, offered: list[str], taken: str) -> None:
        lines = [f'Digest realm="r", nonce="n", qop="auth", algorithm={algorithm}' for algorithm in offered]
        assert sent(client_of(lines))["algorithm"] == taken
        assert sent(client_of([", ".join(lines)]))["algorithm"] == taken

    def test_no_algorithm_means_md5(self) -> None:
        assert sent(client_of(['Digest realm="r", nonce="n", qop="auth"']))["algorithm"] == "MD5"

    def test_one_that_this_python_lacks_is_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("digest_auth._algorithms._HAS_SHA_512_256", False)
        only = 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-512-256'
        assert not DigestClient(USER, PASSWORD).accept([only])
        assert sent(client_of([only, *challenge()]))["algorithm"] == "SHA-256"

    @pytest.mark.parametrize(
        "line",
        [
            'Basic realm="a"',
            'Digest realm="a", nonce="n"',
            'Digest realm="a", nonce="n", qop="auth-conf"',
            'Digest realm="a", nonce="n", qop="auth", algorithm=SHA-512',
            'Digest nonce="n", qop="auth"',
            'Digest realm="a", qop="auth"',
            'Digest realm="€", nonce="n", qop="auth"',
            'Digest realm="a\r\nX: y", nonce="n", qop="auth"',
            "",
        ],
    )
    def test_what_it_cannot_answer_is_not_accepted(self, line: str) -> None:
        client = DigestClient(USER, PASSWORD)
        assert not client.accept([line])
        assert client.authorization("GET", "/") is None
        assert not client.refused

    def test_what_was_learnt_before_is_then_kept(self) -> None:
        client = client_of(challenge("known"))
        assert not client.accept(['Basic realm="a"'])
        assert nonce_of(client) == "known"


class TestAlgorithms:
    """Every algorithm with every qop is granted by our own check, three times on one nonce."""

    @pytest.mark.parametrize("qop", Qop)
    @pytest.mark.parametrize("algorithm", Algorithm)
    def test_granted(self, algorithm: Algorithm, qop: Qop) -> None:
        server = Server(algorithm, qops=[qop])
        client = client_of(server.challenge())
        for body in (b"", b"one", b"two"):
            authorization = client.authorization("PUT", "/a?b", body)
            assert authorization is not None
            assert server.verdict(authorization, "PUT", "/a?b", body) == Granted(USER)

    def test_the_cnonce_stays_for_as_long_as_the_nonce(self) -> None:
        """So that both readings of RFC 7616 section 3.4.2 give the same A1."""
        server = Server(Algorithm.SHA_256_SESS)
        client = client_of(server.challenge())
        first, second = sent(client), sent(client)
        assert first["cnonce"] == second["cnonce"]
        assert client.accept(server.challenge())
        assert sent(client)["cnonce"] != first["cnonce"]


class TestQop:
    """auth, unless the server offers auth-int alone or the caller prefers it."""

    @pytest.mark.parametrize(
        ("offered", "prefers", "taken"),
        [
            ("auth", False, "auth"),
            ("auth", True, "auth"),
            ("auth,auth-int", False, "auth"),
            ("auth-int , AUTH", False, "auth"),
            ("auth, auth-int", True, "auth-int"),
            ("auth-int", False, "auth-int"),
        ],
    )
    def test_taken(self, *, offered: str, prefers: bool, taken: str) -> None:
        client = client_of(
            [f'Digest realm="r", nonce="n", qop="{offered}", algorithm=SHA-256'], prefers_auth_int=prefers
        )
        assert sent(client)["qop"] == taken
        assert client.covers_body == (taken == "auth-int")

    def test_another_body_is_refused(self) -> None:
        server = Server(qops=[Qop.AUTH_INT])
        authorization = client_of(server.challenge()).authorization("GET", "/a", b"this")
        assert authorization is not None
        assert isinstance(server.verdict(authorization, body=b"that"), Refused)

    def test_before_the_first_challenge_who_prefers_auth_int_may_need_the_body(self) -> None:
        assert DigestClient(USER, PASSWORD, prefers_auth_int=True).covers_body
        assert not DigestClient(USER, PASSWORD).covers_body


class TestUserName:
    """username, username* or a hash: one of them, in the form that the server can read."""

    @pytest.mark.parametrize("name", ["Jäsøn Doe", "Ελένη", "100% 'x'", "plain"])
    @pytest.mark.parametrize("userhash", [False, True])
    @pytest.mark.parametrize("algorithm", [Algorithm.SHA_256, Algorithm.SHA_512_256, Algorithm.MD5_SESS])
    def test_granted(self, name: str, userhash: bool, algorithm: Algorithm) -> None:  # noqa: FBT001 (pytest's parameter)
        server = Server(algorithm, name=name, userhash=userhash)
        client = client_of(server.challenge(), name)
        assert server.granted(header(client)).user == name
        assert (name in header(client)) == (name.isascii() and not userhash)

    def test_a_name_beyond_ascii_is_an_extended_value_where_the_server_reads_utf_8(self) -> None:
        """RFC 7616 section 3.4; the encoding is RFC 8187's."""
        parameters = sent(client_of(challenge(more=", charset=UTF-8"), "Jäsøn Doe"))
        assert parameters["username*"] == "UTF-8''J%C3%A4s%C3%B8n%20Doe"
        assert "username" not in parameters

    def test_else_it_is_octets_of_utf_8(self) -> None:
        parameters = sent(client_of(challenge(), "Jäsøn"))
        assert parameters["username"].encode("latin-1").decode() == "Jäsøn"
        assert "username*" not in parameters

    def test_a_hash_comes_with_no_other_form(self) -> None:
        parameters = sent(client_of(challenge(more=", charset=UTF-8, userhash=true"), "Jäsøn"))
        assert len(parameters["username"]) == 64
        assert parameters["userhash"] == "true"
        assert "username*" not in parameters

    def test_userhash_false_asks_for_the_name(self) -> None:
        parameters = sent(client_of(challenge(more=", userhash=false")))
        assert parameters["username"] == USER
        assert "userhash" not in parameters

    def test_a_server_that_reads_utf_8_gets_normalization_form_c(self) -> None:
        """RFC 7616 section 4. The same letters typed on another system are still the same user and password."""
        server = Server(name="J\u00e4s\u00f8n")
        typed = client_of(server.challenge(), "Ja\u0308s\u00f8n")
        assert server.granted(header(typed)).user == "J\u00e4s\u00f8n"

    @pytest.mark.parametrize("name", ["a\r\nX: y", "a\0b", "\x7f"])
    def test_one_that_no_header_can_carry_is_refused_at_once(self, name: str) -> None:
        with pytest.raises(ValueError, match="control character"):
            DigestClient(name, PASSWORD)


class TestEcho:
    """What comes back as it was sent."""

    def test_opaque(self) -> None:
        client = client_of(challenge(more=', opaque="o\\"p"'))
        assert sent(client)["opaque"] == 'o"p'

    def test_a_realm_whose_octets_are_no_utf_8(self) -> None:
        parameters = sent(client_of(challenge(realm="caf\xe9")))
        assert parameters["realm"] == "caf\xe9"

    def test_targets_with_quotes_are_escaped(self) -> None:
        device = Device()
        target = '/a"b\\c'
        assert device.ask(header(device.client(), target=target), target=target) == Granted(USER)

    def test_the_protection_space_is_told(self) -> None:
        client = client_of(Server(domain=["/a", "https://b.example/"]).challenge())
        assert client.domain == ("/a", "https://b.example/")
        assert client_of(challenge()).domain == ()


class TestNonceReuse:
    """One nonce, rising counts: a 401 comes but once."""

    def test_counts_rise_from_one(self) -> None:
        client = Device().client()
        assert [sent(client)["nc"] for _ in range(3)] == ["00000001", "00000002", "00000003"]

    def test_a_new_challenge_starts_again(self) -> None:
        device = Device()
        client = device.client()
        header(client)
        assert client.accept(device.challenge())
        assert device.ask(header(client)) == Granted(USER)

    def test_prepared_requests_follow_their_client_to_the_new_nonce(self) -> None:
        device = Device()
        client = device.client()
        prepared = client.prepare("GET", "/a")
        for _ in range(2):
            value = prepared.authorization()
            assert value is not None
            assert device.ask(value.decode("latin-1")) == Granted(USER)
            assert client.accept(device.challenge())

    def test_prepared_requests_share_the_counts(self) -> None:
        device = Device()
        client = device.client()
        for target in ("/a", "/b", "/a"):
            value = client.prepare("GET", target).authorization()
            assert value is not None
            assert device.ask(value.decode("latin-1"), target=target) == Granted(USER)

    def test_prepared_requests_put_their_value_into_the_bytes_of_a_request(self) -> None:
        device = Device()
        client = device.client()
        prepared = client.prepare("GET", "/a")
        whole = prepared.authorization(b"before ", b" after")
        assert whole is not None
        assert (whole[:7], whole[-6:]) == (b"before ", b" after")
        assert device.ask(whole[7:-6].decode("latin-1")) == Granted(USER)
        client.forget()
        assert prepared.authorization(b"before ", b" after") is None

    def test_forgetting_goes_out_without_credentials(self) -> None:
        client = Device().client()
        prepared = client.prepare("GET", "/a")
        client.forget()
        assert prepared.authorization() is None

    def test_a_nonce_that_is_given_out_again_goes_on_with_its_counts(self) -> None:
        client = client_of(challenge("same"))
        header(client)
        assert client.accept(challenge("same", more=", stale=true"))
        assert sent(client)["nc"] == "00000002"


class TestSharing:
    """Threads and greenlets that share a client, and even a prepared request, never send a count twice."""

    def test_threads(self) -> None:
        """While the nonce changes under them: each header is granted, so none has a count twice, or a count of another
        nonce.
        """
        device = Device()
        client = device.client()
        prepared = client.prepare("GET", "/a")
        values: list[str] = []

        def ask() -> None:
            for _ in range(100):
                values.append(header(client))
                values.append((prepared.authorization() or b"").decode("latin-1"))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert client.accept(device.challenge())
        assert len(values) == 800
        assert {str(device.ask(value)) for value in values} == {str(Granted(USER))}

    def test_greenlets(self) -> None:
        client = Device().client()
        values: list[str] = []

        def ask() -> None:
            for _ in range(20):
                values.append(header(client))
                gevent.sleep(0)

        gevent.joinall([gevent.spawn(ask) for _ in range(20)], raise_error=True)
        assert len({(credentials(value) or {})["nc"] for value in values}) == 400


class TestRefusal:
    """A wrong password ends the tries; a stale nonce asks nobody for another."""

    def test_a_first_use_of_a_nonce_refused_is_a_wrong_password(self) -> None:
        device = Device()
        client = DigestClient(USER, "wrong")
        assert client.accept(device.challenge(), authorization=NONE_SENT)
        value = header(client)
        assert not client.accept(device.challenge(), authorization=value)
        assert client.refused

    def test_stale_is_none(self) -> None:
        device = Device()
        client = device.client()
        value = header(client)
        device.now_s += LIFETIME_S + 1
        verdict = device.ask(value)
        assert isinstance(verdict, Refused)
        assert client.accept(verdict.www_authenticate, authorization=value)
        assert not client.refused
        assert device.ask(header(client)) == Granted(USER)

    def test_a_used_nonce_gets_one_more_try_though_the_server_does_not_say_stale(self) -> None:
        """Many do not: after a restart, say."""
        client = client_of(challenge("a"))
        header(client)
        value = header(client)
        assert client.accept(challenge("b"), authorization=value)
        value = header(client)
        assert not client.accept(challenge("c"), authorization=value)

    def test_requests_in_flight_with_a_wrong_password_do_not_go_on_for_ever(self) -> None:
        """Each of eight is sent twice with credentials at most, whoever else meanwhile got a fresh nonce."""
        device = Device()
        client = DigestClient(USER, "wrong")
        waiting = [NONE_SENT] * 8
        tries = 0
        while waiting:
            waiting = [header(client) for value in waiting if client.accept(device.challenge(), authorization=value)]
            tries += len(waiting)
            assert tries <= 16
        assert client.refused

    def test_the_right_password_is_heard_of_again(self) -> None:
        """When the server has learnt it: a proof, or a stale nonce, ends the refusal."""
        server = Server()
        client = client_of(server.challenge())
        for stale in (False, True):
            value = header(client)
            while client.accept(challenge("x", realm=REALM), authorization=value):
                value = header(client)
            assert client.refused
            if stale:
                assert client.accept(challenge("y", realm=REALM, more=", stale=true"), authorization=header(client))
            else:
                client.forget()
                assert client.accept(server.challenge(), authorization=NONE_SENT)
                value = header(client)
                assert client.learn(server.granted(value).authentication_info(), authorization=value)
            assert not client.refused

    def test_another_realm_refuses_nothing(self) -> None:
        client = client_of(challenge(realm="a"))
        assert client.accept(challenge(realm="b"), authorization=header(client))
        assert not client.refused


class TestLateChallenges:
    """A challenge to a request with an older nonce, or with none, does not replace a newer session."""

    def test_older_nonce(self) -> None:
        client = client_of(challenge("a"))
        early, late = header(client), header(client)
        assert client.accept(challenge("b", more=", stale=true"), authorization=early)
        assert client.accept(challenge("c", more=", stale=true"), authorization=late)
        assert (nonce_of(client), sent(client)["nc"]) == ("b", "00000002")

    def test_no_nonce(self) -> None:
        """Sixteen connections are opened at once: their first challenge is taken by all."""
        client = DigestClient(USER, PASSWORD)
        for number in range(16):
            assert client.accept(challenge(f"{number}"), authorization=NONE_SENT)
        assert nonce_of(client) == "0"

    def test_it_is_taken_where_nothing_is_said_of_the_request(self) -> None:
        client = client_of(challenge("a"))
        assert client.accept(challenge("b"))
        assert nonce_of(client) == "b"

    def test_it_is_taken_where_nothing_newer_is_known(self) -> None:
        client = client_of(challenge("a"))
        value = header(client)
        client.forget()
        assert client.accept(challenge("b", more=", stale=true"), authorization=value)
        assert nonce_of(client) == "b"


class TestNextNonce:
    """Authentication-Info's nextnonce is used from then on, counts from one (RFC 7616 section 3.5)."""

    def test_a_long_run_has_one_challenge(self) -> None:
        """Three lifetimes of a nonce."""
        server = Server()
        client = client_of(server.challenge())
        nonces = set()
        for _ in range(30):
            server.now_s += LIFETIME_S / 10
            value = header(client)
            client.learn(server.granted(value).authentication_info(), authorization=value)
            nonces.add(nonce_of(client))
        assert len(nonces) >= 3

    def test_of_400_in_flight_the_first_is_taken(self) -> None:
        client = client_of(challenge("a"))
        values = [header(client) for _ in range(400)]
        for number, value in enumerate(values):
            client.learn(f'nextnonce="b{number}"', authorization=value)
        assert (nonce_of(client), sent(client)["nc"]) == ("b0", "00000002")

    def test_the_nonce_in_use_named_again_changes_nothing(self) -> None:
        client = client_of(challenge("a"))
        client.learn('nextnonce="a"', authorization=header(client))
        assert sent(client)["nc"] == "00000002"

    def test_a_session_algorithm_keeps_its_nonce(self) -> None:
        client = client_of(['Digest realm="r", nonce="a", qop="auth", algorithm=SHA-256-sess'])
        client.learn('nextnonce="b"', authorization=header(client))
        assert nonce_of(client) == "a"

    @pytest.mark.parametrize("info", ["", "nextnonce", 'nextnonce=""', 'nextnonce="b', 'x"', 'nextnonce="b\r\nX: y"'])
    def test_what_cannot_be_read_says_nothing(self, info: str) -> None:
        client = client_of(challenge("a"))
        assert not client.learn(info, authorization=header(client))
        assert nonce_of(client) == "a"


class TestMutualAuthentication:
    """rspauth proves that the server knows the password (RFC 7616 section 3.5)."""

    @pytest.mark.parametrize("qop", Qop)
    @pytest.mark.parametrize("algorithm", Algorithm)
    def test_proved(self, algorithm: Algorithm, qop: Qop) -> None:
        server = Server(algorithm, qops=[qop], name="Jäsøn")
        client = client_of(server.challenge(), "Jäsøn")
        for _ in range(2):
            value = header(client)
            info = server.granted(value).authentication_info(b"content")
            assert client.covers_content(info) == (qop is Qop.AUTH_INT)
            assert client.learn(info, authorization=value, content=b"content")

    @pytest.mark.parametrize("algorithm", [Algorithm.SHA_256, Algorithm.SHA_256_SESS])
    @pytest.mark.parametrize("forgotten", [False, True])
    def test_proved_when_the_session_has_been_replaced(self, algorithm: Algorithm, forgotten: bool) -> None:  # noqa: FBT001 (pytest's parameter)
        server = Server(algorithm)
        client = client_of(server.challenge())
        value = header(client)
        if forgotten:
            client.forget()
        else:
            assert client.accept(server.challenge())
        assert client.learn(server.granted(value).authentication_info(), authorization=value)

    @pytest.mark.parametrize("part", ["rspauth", "cnonce", "nc"])
    def test_refuted(self, part: str) -> None:
        server = Server()
        client = client_of(server.challenge())
        value = header(client)
        info = server.granted(value).authentication_info()
        start = info.index(f"{part}=") + len(f"{part}=") + (part != "nc")
        altered = info[:start] + ("0" if info[start] != "0" else "1") + info[start + 1 :]
        with pytest.raises(RspauthError):
            client.learn(altered, authorization=value)

    def test_a_server_that_does_not_know_the_password(self) -> None:
        """It grants whatever comes, and proves nothing."""
        server = Server()
        value = header(client_of(server.challenge()))
        info = server.granted(value).authentication_info()
        with pytest.raises(RspauthError):
            client_of(server.challenge(), password="another").learn(info, authorization=value)

    def test_other_content_is_refuted(self) -> None:
        server = Server(qops=[Qop.AUTH_INT])
        client = client_of(server.challenge())
        value = header(client)
        info = server.granted(value).authentication_info(b"this")
        with pytest.raises(RspauthError):
            client.learn(info, authorization=value, content=b"that")
        with pytest.raises(ValueError, match="content is needed"):
            client.learn(info, authorization=value)

    def test_a_wrong_answer_brings_no_nonce(self) -> None:
        client = client_of(challenge("a"))
        with pytest.raises(RspauthError):
            client.learn('rspauth="0", nextnonce="b"', authorization=header(client))
        assert nonce_of(client) == "a"

    def test_an_answer_without_rspauth_proves_nothing(self) -> None:
        client = client_of(challenge())
        assert not client.learn('nextnonce="b"', authorization=header(client))

    @pytest.mark.parametrize("authorization", ["", "Basic abc", 'Digest nonce="n"'])
    def test_what_this_client_never_sent_is_said_so(self, authorization: str) -> None:
        with pytest.raises(ValueError, match="not what this client sent"):
            client_of(challenge()).learn('rspauth="0"', authorization=authorization)


class TestSecrecy:
    """The password stands in no representation, log line or exception."""

    PASSWORD = "t0p-s3cret"

    def test_representations(self) -> None:
        client = client_of(challenge(), password=self.PASSWORD)
        prepared = client.prepare("GET", "/")
        shown = [repr(each) for each in (client, prepared, client.session, *vars(client).values())]
        assert self.PASSWORD not in " ".join(shown)

    def test_what_is_sent(self) -> None:
        assert self.PASSWORD not in header(client_of(challenge(), password=self.PASSWORD))

    def test_a_password_that_is_no_text(self) -> None:
        """Python's own UnicodeEncodeError holds the whole of it."""
        with pytest.raises(ValueError, match="password is not Unicode text") as caught:
            DigestClient(USER, f"{self.PASSWORD}\udc80")
        assert self.PASSWORD not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert caught.value.__context__ is None

    def test_log_and_errors(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        client = client_of(challenge(), password=self.PASSWORD)
        value = header(client)
        errors = []
        for info, authorization in zip(('rspauth="0"', 'rspauth="0", nc=00000009'), cycle([value]), strict=False):
            with pytest.raises(RspauthError) as caught:
                client.learn(info, authorization=authorization)
            errors.append(repr(caught.value))
        assert not client.accept(challenge("m"), authorization=value)
        assert caplog.records == []
        assert self.PASSWORD not in " ".join(errors)
