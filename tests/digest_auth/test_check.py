"""The order of the checks, a class for each step. What an unauthenticated peer sends changes and tells nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest_auth import (
    Algorithm,
    Authenticator,
    Claim,
    DigestRequest,
    Granted,
    MemoryReplayStore,
    Nonces,
    Refused,
    UserTable,
    hash_a1,
)
from digest_auth._replay import COUNT_LIMIT
from digest_auth._response import hash_a2, response
from tests.digest_auth.device import KEY, LIFETIME_S, NOW_S, REALM, Device, header, users


@pytest.fixture
def device() -> Device:
    return Device()


def refusal(verdict: Granted | Refused) -> tuple[int, bool]:
    assert isinstance(verdict, Refused)
    assert bool(verdict.www_authenticate) == (verdict.status == 401)
    return verdict.status, verdict.stale


def without(value: str, name: str) -> str:
    stripped = re.sub(rf'(?<![a-z]){name}=("[^"]*"|[^,]*)(, )?', "", value)
    assert stripped != value
    return stripped.rstrip(", ")


def replaced_in(value: str, name: str, new: str) -> str:
    return re.sub(rf'(?<![a-z]){name}=("[^"]*"|[^,]*)', lambda _: f"{name}={new}", value)


def changed(value: str, name: str, new: str) -> str:
    result = replaced_in(value, name, new)
    assert result != value
    return result


class TestRightRequest:
    def test_is_granted_to_its_user(self, device: Device) -> None:
        assert device.ask(header(device.client())) == Granted("admin")

    def test_one_nonce_serves_many_requests(self, device: Device) -> None:
        client = device.client()
        assert all(isinstance(device.ask(header(client)), Granted) for _ in range(50))

    @pytest.mark.parametrize("algorithm", list(Algorithm))
    def test_each_algorithm_works_where_it_is_offered(self, algorithm: Algorithm) -> None:
        device = Device(algorithms=(algorithm,))
        assert device.ask(header(device.client())) == Granted("admin")

    def test_quoted_algorithm_qop_and_nc_are_accepted(self, device: Device) -> None:
        value = header(device.client())
        for name, quoted in (("algorithm", '"SHA-256"'), ("qop", '"auth"'), ("nc", '"00000001"')):
            value = changed(value, name, quoted)
        assert device.ask(value) == Granted("admin")

    def test_no_algorithm_means_md5(self) -> None:
        device = Device(algorithms=(Algorithm.MD5,))
        assert device.ask(without(header(device.client()), "algorithm")) == Granted("admin")

    def test_unknown_parameters_are_ignored(self, device: Device) -> None:
        assert device.ask(header(device.client()) + ', shoe-size="46"') == Granted("admin")


class TestChallenge:
    """A 401 carries a nonce never given out before, shared by all its challenges, and stores nothing."""

    def test_realm_comes_first_and_one_line_a_challenge_strongest_first(self) -> None:
        lines = Device(algorithms=(Algorithm.SHA_256, Algorithm.MD5)).challenge()
        assert [re.findall(r"algorithm=([^,]+)", line) for line in lines] == [["SHA-256"], ["MD5"]]
        assert all(line.startswith(f'Digest realm="{REALM}", ') for line in lines)
        assert len({re.findall(r'nonce="([^"]+)"', line)[0] for line in lines}) == 1

    def test_nonces_differ_from_challenge_to_challenge(self, device: Device) -> None:
        assert device.challenge() != device.challenge()

    def test_challenging_takes_no_memory(self, device: Device) -> None:
        for _ in range(1000):
            device.challenge()
        assert len(device.store) == 0


class Test1Parsing:
    """What cannot be parsed is a 400."""

    @pytest.mark.parametrize("name", ["username", "realm", "nonce", "uri", "response", "nc", "cnonce"])
    def test_a_missing_parameter(self, device: Device, name: str) -> None:
        assert refusal(device.ask(without(header(device.client()), name))) == (400, False)

    @pytest.mark.parametrize("nc", ["1", "0000001", "000000001", "0000000g", '""', "00000000", "+0000001", "0x000001"])
    def test_nc_is_exactly_eight_hexadecimal_digits_and_not_zero(self, device: Device, nc: str) -> None:
        assert refusal(device.ask(changed(header(device.client()), "nc", nc))) == (400, False)

    def test_two_authorization_headers(self, device: Device) -> None:
        client = device.client()
        assert refusal(device.ask(header(client), header(client))) == (400, False)

    def test_a_duplicate_parameter(self, device: Device) -> None:
        assert refusal(device.ask(header(device.client()) + ", nc=00000002")) == (400, False)

    def test_characters_that_are_no_octets(self, device: Device) -> None:
        assert refusal(device.ask(changed(header(device.client()), "cnonce", '"\N{SNOWMAN}"'))) == (400, False)

    @pytest.mark.parametrize("value", ["Basic YWRtaW46cmlnaHQ=", "Bearer x", ""])
    def test_another_scheme_is_challenged(self, device: Device, value: str) -> None:
        assert refusal(device.ask(value)) == (401, False)

    @given(st.text(st.characters(max_codepoint=0x2FF), max_size=200))
    def test_nothing_raises(self, rest: str) -> None:
        assert isinstance(Device().ask("Digest " + rest), Refused)

    @given(
        st.dictionaries(
            st.sampled_from(["username", "realm", "nonce", "uri", "response", "nc", "cnonce", "qop", "algorithm"]),
            st.text(st.characters(max_codepoint=255, exclude_characters='"\\'), max_size=40),
        )
    )
    def test_no_value_of_a_known_parameter_raises(self, replaced: dict[str, str]) -> None:
        device = Device()
        value = header(device.client())
        for name, text in replaced.items():
            value = replaced_in(value, name, f'"{text}"')
        assert isinstance(device.ask(value), Granted | Refused)


class Test2AlgorithmAndQop:
    """Only what was offered: no way down to RFC 2069."""

    def test_an_algorithm_that_is_not_offered(self, device: Device) -> None:
        client = Device(algorithms=(Algorithm.MD5,), store=device.store).client()
        assert refusal(device.ask(header(client))) == (401, False)

    @pytest.mark.parametrize("name", ["SHA-512", "SHA-256-sess", "none", '""'])
    def test_an_unknown_algorithm(self, device: Device, name: str) -> None:
        assert refusal(device.ask(changed(header(device.client()), "algorithm", name))) == (401, False)

    def test_no_qop_although_the_response_is_right_by_rfc_2069(self, device: Device) -> None:
        nonce = device.nonces.issue(NOW_S)
        ha1 = hash_a1(Algorithm.SHA_256, "admin", REALM, "right")
        ha2 = hash_a2(Algorithm.SHA_256, b"GET", b"/a")
        old = Algorithm.SHA_256.new(b":".join((ha1, nonce.encode(), ha2))).hexdigest()
        value = (
            f'Digest username="admin", realm="{REALM}", nonce="{nonce}", uri="/a", algorithm=SHA-256, response="{old}"'
        )
        assert refusal(device.ask(value)) == (401, False)

    def test_a_qop_that_is_not_offered(self, device: Device) -> None:
        assert refusal(device.ask(changed(header(device.client()), "qop", "auth-int"))) == (401, False)


class Test3Realm:
    def test_another_realm(self, device: Device) -> None:
        assert refusal(device.ask(changed(header(device.client()), "realm", '"elsewhere"'))) == (401, False)


class Test4Uri:
    """The uri parameter is the raw request target, octet by octet."""

    def test_a_header_for_another_target_is_a_400(self, device: Device) -> None:
        assert refusal(device.ask(header(device.client(), target="/b"), target="/a")) == (400, False)

    @pytest.mark.parametrize("target", ["/a%2Fb", "/a//b", "//a", "/a?x=%20&y", "/%7e", "http://h/a", "*"])
    def test_targets_are_compared_as_they_were_sent(self, device: Device, target: str) -> None:
        assert device.ask(header(device.client(), target=target), target=target) == Granted("admin")

    @pytest.mark.parametrize(("sent", "target"), [("/a%2Fb", "/a/b"), ("/%7Ea", "/~a"), ("/A", "/a")])
    def test_equivalent_targets_are_not_equal(self, device: Device, sent: str, target: str) -> None:
        assert refusal(device.ask(header(device.client(), target=sent), target=target)) == (400, False)

    def test_a_lone_question_mark_that_the_server_lost_is_borne(self, device: Device) -> None:
        assert device.ask(header(device.client(), target="/a?"), target="/a") == Granted("admin")

    def test_another_method_does_not_verify(self, device: Device) -> None:
        assert refusal(device.ask(header(device.client(), method="GET"), method="DELETE")) == (401, False)


class Test5NonceIsOurs:
    @pytest.mark.parametrize("nonce", ['""', '"abc"', f'"{"A" * 56}"', '"\xe9"'])
    def test_a_nonce_of_anyone_else(self, device: Device, nonce: str) -> None:
        verdict = device.ask(changed(header(device.client()), "nonce", nonce))
        assert refusal(verdict) == (401, False)
        assert isinstance(verdict, Refused)
        assert not verdict.nonce_genuine

    def test_a_nonce_of_another_realm_under_the_same_key(self, device: Device) -> None:
        other = Nonces(KEY, device.store, "elsewhere").issue(NOW_S)
        assert refusal(device.ask(changed(header(device.client()), "nonce", f'"{other}"'))) == (401, False)


class Test6User:
    """An unknown user is refused as a wrong password is, and an empty or missing secret never counts."""

    def test_unknown_and_known_users_get_the_same_answer(self, device: Device) -> None:
        unknown, wrong = device.ask(header(device.client("nobody"))), device.ask(header(device.client(password="no")))
        assert isinstance(unknown, Refused)
        assert isinstance(wrong, Refused)
        assert (unknown.status, unknown.reason, unknown.stale) == (wrong.status, wrong.reason, wrong.stale)
        assert unknown.nonce_genuine
        assert wrong.nonce_genuine

    @pytest.mark.parametrize("secret", [b"", hash_a1(Algorithm.SHA_256, "nobody", REALM, "")])
    def test_a_response_made_from_an_empty_secret(self, device: Device, secret: bytes) -> None:
        nonce = device.nonces.issue(NOW_S)
        ha2 = hash_a2(Algorithm.SHA_256, b"GET", b"/a")
        made = response(Algorithm.SHA_256, secret, nonce.encode(), b"00000001", b"c", b"auth", ha2).decode()
        value = (
            f'Digest username="nobody", realm="{REALM}", nonce="{nonce}", uri="/a", algorithm=SHA-256,'
            f' qop=auth, nc=00000001, cnonce="c", response="{made}"'
        )
        assert refusal(device.ask(value)) == (401, False)

    def test_a_user_without_a_hash_of_the_algorithm_is_unknown(self) -> None:
        device = Device(known=users("admin", algorithms=(Algorithm.MD5,)))
        assert refusal(device.ask(header(device.client()))) == (401, False)

    @pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
    def test_a_name_beyond_ascii_is_known_in_either_encoding(self, encoding: str) -> None:
        device = Device(known=users("Jäsøn"))
        octets = "Jäsøn".encode(encoding).decode("latin-1")
        value = header(device.client("Jäsøn")).replace("username*=UTF-8''J%C3%A4s%C3%B8n", f'username="{octets}"')
        assert f'username="{octets}"' in value
        assert device.ask(value) == Granted("Jäsøn")

    def test_nobody_gets_in_without_users(self) -> None:
        device = Device(known=UserTable({}))
        assert refusal(device.ask(header(device.client()))) == (401, False)


class Test7Response:
    def test_a_wrong_password(self, device: Device) -> None:
        assert refusal(device.ask(header(device.client(password="wrong")))) == (401, False)

    @pytest.mark.parametrize("sent", ['""', '"0"', f'"{"0" * 64}"', '"\xe9"'])
    def test_no_response_at_all(self, device: Device, sent: str) -> None:
        assert refusal(device.ask(changed(header(device.client()), "response", sent))) == (401, False)

    @pytest.mark.parametrize(("name", "new"), [("nc", "00000002"), ("cnonce", '"other"')])
    def test_it_covers_nc_and_cnonce(self, device: Device, name: str, new: str) -> None:
        assert refusal(device.ask(changed(header(device.client()), name, new))) == (401, False)


class Test8NonceAge:
    """Too old a nonce is a 401 with stale=true, but only for someone who knows the password."""

    def test_an_old_nonce_is_stale(self, device: Device) -> None:
        value = header(device.client())
        device.now_s += LIFETIME_S + 1
        assert refusal(device.ask(value)) == (401, True)

    def test_at_its_age_limit_it_is_good(self, device: Device) -> None:
        value = header(device.client())
        device.now_s += LIFETIME_S
        assert device.ask(value) == Granted("admin")

    def test_a_wrong_password_learns_nothing(self, device: Device) -> None:
        value = header(device.client(password="wrong"))
        device.now_s += LIFETIME_S + 1
        assert refusal(device.ask(value)) == (401, False)

    def test_one_from_the_future_is_stale(self, device: Device) -> None:
        device.now_s += 60
        value = header(device.client())
        device.now_s -= 60
        assert refusal(device.ask(value)) == (401, True)

    def test_after_a_restart_old_nonces_are_stale_not_fresh(self, device: Device) -> None:
        client = device.client()
        used = header(client)
        assert device.ask(used) == Granted("admin")
        restarted = Device(store=MemoryReplayStore())
        assert refusal(restarted.ask(used)) == (401, True)

    def test_the_store_decides_on_the_epoch_since_another_host_may_have_learnt_the_newest_first(
        self, device: Device
    ) -> None:
        value = header(device.client())
        device.store.epoch = b"another!"
        claim = device.authenticator.check(DigestRequest("GET", "/a", [value]), now_s=device.now_s)
        assert isinstance(claim, Claim)
        assert claim.epoch != device.store.epoch
        assert refusal(device.ask(value)) == (401, True)

    def test_a_stale_answer_lets_the_client_go_on(self, device: Device) -> None:
        client = device.client()
        device.now_s += LIFETIME_S + 1
        verdict = device.ask(header(client))
        assert isinstance(verdict, Refused)
        assert all(line.endswith("stale=true") for line in verdict.www_authenticate)
        assert client.accept(verdict.www_authenticate)
        assert device.ask(header(client)) == Granted("admin")


class Test9NonceCount:
    """Each count once; and nobody but the password's holder can burn one."""

    def test_a_replay_is_stale(self, device: Device) -> None:
        value = header(device.client())
        assert device.ask(value) == Granted("admin")
        assert refusal(device.ask(value)) == (401, True)

    def test_counts_come_in_any_order(self, device: Device) -> None:
        client = device.client()
        values = [header(client) for _ in range(20)]
        assert all(device.ask(value) == Granted("admin") for value in reversed(values))

    def test_a_wrong_response_burns_nothing(self, device: Device) -> None:
        value = header(device.client())
        refusal(device.ask(changed(value, "response", f'"{"0" * 64}"')))
        assert len(device.store) == 0
        assert device.ask(value) == Granted("admin")

    def test_above_the_limit_it_is_stale(self, device: Device) -> None:
        client = device.client()
        values = [header(client) for _ in range(COUNT_LIMIT + 1)]
        assert device.ask(values[-2]) == Granted("admin")
        assert refusal(device.ask(values[-1])) == (401, True)


class TestClaim:
    """Code that forgets the replay store has no user."""

    def test_holds_no_user_in_public(self, device: Device) -> None:
        claim = device.authenticator.check(DigestRequest("GET", "/a", [header(device.client())]), now_s=NOW_S)
        assert isinstance(claim, Claim)
        assert not hasattr(claim, "user")


class TestReasons:
    """A reason is for logs and bodies: it repeats nothing that was sent."""

    @pytest.mark.parametrize("name", ["username", "realm", "nonce", "uri", "response", "cnonce", "algorithm", "qop"])
    def test_nothing_sent_is_repeated(self, device: Device, name: str) -> None:
        verdict = device.ask(changed(header(device.client()), name, '"s3cret"'))
        if isinstance(verdict, Refused):
            assert "s3cret" not in verdict.reason + "".join(verdict.www_authenticate)


def test_an_authenticator_offers_something() -> None:
    with pytest.raises(ValueError, match="no algorithm"):
        Authenticator(realm=REALM, users=users("a"), nonces=Nonces(KEY, MemoryReplayStore(), REALM), algorithms=())
