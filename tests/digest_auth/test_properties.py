"""What holds for every header: of reading them, and of the check that decides on them."""

import ast
import contextlib
import hmac
import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import digest_auth._server
from digest_auth import (
    Algorithm,
    Authenticator,
    AwaitingBody,
    Claim,
    DigestRequest,
    Granted,
    HeaderError,
    MemoryReplayStore,
    Nonces,
    Qop,
    Refused,
    Throttle,
    hash_a1,
)
from digest_auth import _header as header_module
from digest_auth._header import Credentials, challenges, credentials, quote
from digest_auth._response import hash_a1_of_session, hash_a2, hash_user, response
from tests.digest_auth.device import KEY, LIFETIME_S, NOW_S, REALM, users

TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
tokens = st.text(TCHARS, min_size=1, max_size=20)
# HTAB, SP, VCHAR and obs-text: what a quoted-string may stand for (RFC 9110 section 5.6.4).
texts = st.text(
    st.characters(max_codepoint=255, exclude_characters=[chr(n) for n in (*range(9), *range(10, 32), 127)]), max_size=40
)
spaces = st.text(" \t", max_size=3)
commas = st.sampled_from([",", ", ", " , ", ",,", ", ,\t, ", "\t,"])


@st.composite
def quotings(draw: st.DrawFn, text: str) -> str:
    """One of the quoted-strings that stand for the text: what need not be escaped may be."""
    return '"' + "".join("\\" + c if c in '"\\' or draw(st.booleans()) else c for c in text) + '"'


@st.composite
def parameter_lists(draw: st.DrawFn, parameters: dict[str, str]) -> str:
    """The parameters in any order, spacing, case of names and way of quoting."""
    written = []
    for name, text in draw(st.permutations(list(parameters.items()))):
        bare = bool(text) and not set(text) - set(TCHARS) and draw(st.booleans())
        value = text if bare else draw(quotings(text))
        written.append(f"{draw(st.sampled_from([name, name.upper()]))}{draw(spaces)}={draw(spaces)}{value}")
    return "".join(part + draw(commas) for part in written[:-1]) + "".join(written[-1:])


parameter_dicts = st.dictionaries(tokens.map(str.lower), texts, max_size=8)


class TestCredentials:
    """Whatever can be written by the grammar is read back as it was meant."""

    @given(st.data(), parameter_dicts)
    def test_every_value_comes_back(self, data: st.DataObject, parameters: dict[str, str]) -> None:
        assert credentials("Digest " + data.draw(parameter_lists(parameters))) == parameters

    @given(texts)
    def test_what_was_quoted_comes_back(self, text: str) -> None:
        assert credentials(f"Digest a={quote(text)}") == {"a": text}

    @given(tokens)
    def test_a_token_means_the_same_quoted(self, token: str) -> None:
        assert credentials(f"Digest a={token}") == credentials(f'Digest a="{token}"') == {"a": token}

    @given(st.data(), parameter_dicts, st.sampled_from(["digest", "DIGEST", "dIgEsT"]), spaces, commas)
    def test_neither_case_nor_empty_elements_matter(
        self, data: st.DataObject, parameters: dict[str, str], scheme: str, space: str, comma: str
    ) -> None:
        written = data.draw(parameter_lists(parameters))
        assert credentials(f"{scheme} {space}{comma}{written}{comma}") == parameters

    @given(st.data(), parameter_dicts.filter(bool), texts)
    def test_a_name_that_stands_twice_is_refused_wherever_it_stands(
        self, data: st.DataObject, parameters: dict[str, str], text: str
    ) -> None:
        name = data.draw(st.sampled_from(list(parameters)))
        again = f"{name.upper()}={quote(text)}"
        written = data.draw(parameter_lists(parameters))
        for value in (f"Digest {written}, {again}", f"Digest {again}, {written}"):
            with pytest.raises(HeaderError):
                credentials(value)

    @given(st.data(), parameter_dicts, st.sampled_from(range(32)).filter(lambda n: n != 9) | st.just(127))
    def test_a_control_character_is_refused_wherever_it_stands(
        self, data: st.DataObject, parameters: dict[str, str], control: int
    ) -> None:
        value = "Digest a=b, " + data.draw(parameter_lists(parameters))
        place = data.draw(st.integers(len("Digest a"), len(value) - 1))
        with pytest.raises(HeaderError):
            credentials(value[:place] + chr(control) + value[place:])

    @given(st.text(st.sampled_from('aB1=", \\\t\xe9\x00\x7f') | st.characters(max_codepoint=255), max_size=60))
    def test_whatever_was_read_can_be_written_and_read_again(self, rest: str) -> None:
        try:
            found = credentials("Digest " + rest)
        except HeaderError:
            return
        assert found is not None
        assert credentials("Digest " + ", ".join(f"{name}={quote(text)}" for name, text in found.items())) == found


FIELDS = {"extended_username": "username*"}  # of those named after another parameter than themselves


class TestCommonForm:
    """Most clients write alike, and that form has a way of its own: it leads where the other leads."""

    @given(st.data())
    def test_both_ways_read_the_same(self, data: st.DataObject) -> None:
        written = {"algorithm": "SHA-256", "qop": "auth", "nc": "00000001"}
        names = ["username", "realm", "nonce", "uri", "response", "cnonce"]
        quoted = {name: f'"{data.draw(texts.filter(lambda text: chr(34) not in text))}"' for name in names}
        parts = data.draw(st.permutations([f"{name}={text}" for name, text in (quoted | written).items()]))
        if data.draw(st.booleans()):
            parts[data.draw(st.integers(0, 8))] = data.draw(
                st.sampled_from([parts[0], "", 'nc="1"', "nc=", "realm=a", "x=y", 'Realm="a"', 'uri="\\"', "uri"])
            )
        value = "Digest " + data.draw(st.sampled_from([", ", ", ", ","])).join(parts)
        place = data.draw(st.none() | st.integers(0, len(value)))
        if place is not None:
            value = value[:place] + data.draw(st.sampled_from(list('",=\\ \t\n\x7f\xe9a'))) + value[place:]
        assert read(Credentials.parse, value) == read(fields, value)


def fields(value: str) -> Credentials | None:
    """By way of the list of parameters."""
    sent = credentials(value)
    return None if sent is None else Credentials(*(sent.get(FIELDS.get(name, name)) for name in Credentials._fields))


def read(function: Callable[[str], Credentials | None], value: str) -> Credentials | str | None:
    try:
        return function(value)
    except HeaderError as error:
        return str(error)


class TestChallenges:
    @given(st.data(), st.lists(parameter_dicts.filter(bool), min_size=1, max_size=4))
    def test_every_challenge_comes_back_from_one_line_or_several(
        self, data: st.DataObject, offered: list[dict[str, str]]
    ) -> None:
        written = ["Digest " + data.draw(parameter_lists(parameters)) for parameters in offered]
        assert list(challenges(written)) == offered
        assert list(challenges([", ".join(written)])) == offered

    @given(st.data(), parameter_dicts.filter(bool), st.sampled_from(["Basic", "Negotiate", "Bearer", "X-Digest"]))
    def test_those_of_other_schemes_are_passed_over(
        self, data: st.DataObject, parameters: dict[str, str], scheme: str
    ) -> None:
        ours = "Digest " + data.draw(parameter_lists(parameters))
        others = f"{scheme} {data.draw(parameter_lists(parameters))}"
        assert list(challenges([f"{others}, {ours}, {others}"])) == [parameters]


LONG, SHORT = 100_000, 12_500  # eight times
WORST = [
    "{x}", ' a="{x}', ' a="b" {x}', ' a={x}"', ",{x}", ' a="{x}",', ' a="{x}" b', "a{x}=",
]  # fmt: skip
UNITS = [
    "a",
    '"',
    "\\",
    ",",
    " ",
    "\t",
    "=",
    "a,",
    "a ",
    "a=",
    "a=b,",
    'a="',
    'a="b" ',
    '\\"',
    ' ,="',
    "Digest ",
    "\xe9",
]


class TestTime:
    """Time grows with the length of a header and no faster, whatever is sent.

    Eight times the length takes eight times as long, and 64 times where time grows with the square: the limit lies
    between, as far from either. CPU time, and the least of several, so that what else the machine does matters little.
    """

    FACTOR = 24

    @staticmethod
    def read(function: Callable[[str], object], value: str) -> int:
        """CPU ns, the least of three."""
        times = []
        for _ in range(3):
            start = time.process_time_ns()
            with contextlib.suppress(HeaderError):
                function(value)
            times.append(time.process_time_ns() - start)
        return min(times)

    def slow(self, function: Callable[[str], object], worst: str, unit: str) -> bool:
        short, long = (worst.format(x=unit * (length // len(unit))) for length in (SHORT, LONG))
        # Short ones may take less than the clock can tell: then a fiftieth of a millisecond counts. Slow is what is so
        # twice: once may be the machine.
        return all(
            self.read(function, f"Digest{long}") > self.FACTOR * max(self.read(function, f"Digest{short}"), 20_000)
            for _ in range(2)
        )

    @pytest.mark.parametrize("worst", WORST)
    def test_of_credentials(self, worst: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(header_module, "MAX_HEADER_LENGTH", 2 * LONG)
        for function in (credentials, Credentials.parse):
            assert [unit for unit in UNITS if self.slow(function, worst, unit)] == []

    @pytest.mark.parametrize("worst", WORST)
    def test_of_challenges(self, worst: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(header_module, "MAX_HEADER_LENGTH", 2 * LONG)
        assert [unit for unit in UNITS if self.slow(lambda value: list(challenges([value])), worst, unit)] == []


USER, PASSWORD, BODY = "Jäsøn", "right", b"the body"
OPAQUE = "thin glass"
CAPACITY = 8


class Server:
    """All that can be switched on is."""

    def __init__(self) -> None:
        self.store = MemoryReplayStore()
        self.throttle = Throttle(burst=2, capacity=CAPACITY)
        self.nonces = Nonces(KEY, self.store, REALM)
        self.authenticator = Authenticator(
            realm=REALM,
            users=users(USER, "admin", password=PASSWORD),
            nonces=self.nonces,
            algorithms=tuple(Algorithm),
            qops=tuple(Qop),
            nonce_lifetime_s=LIFETIME_S,
            userhash=True,
            opaque=OPAQUE,
            throttle=self.throttle,
        )

    def check(self, request: DigestRequest, body: bytes = BODY) -> Claim | Refused:
        verdict = self.authenticator.check(request, now_s=NOW_S)
        if isinstance(verdict, AwaitingBody):
            verdict.update(body)
            return verdict.decide(now_s=NOW_S)
        return verdict


@dataclass(frozen=True)
class Form:
    """A way to write a request."""

    algorithm: Algorithm = Algorithm.SHA_256
    qop: Qop = Qop.AUTH
    user: str = USER
    method: str = "GET"
    target: str = "/a"
    count: int = 1

    def parameters(self, nonce: str, secret: Callable[[Algorithm, str], bytes]) -> dict[str, str]:
        """Unquoted, all of them. secret: H(A1) without -sess for an algorithm and a user."""
        nc, cnonce, algorithm = f"{self.count:08x}", "0a4f113b", self.algorithm
        ha1 = secret(algorithm, self.user)
        if algorithm.is_session:
            ha1 = hash_a1_of_session(algorithm, ha1, nonce.encode("latin-1"), cnonce.encode())
        body = algorithm.new(BODY).hexdigest().encode() if self.qop is Qop.AUTH_INT else None
        ha2 = hash_a2(algorithm, self.method.encode(), self.target.encode(), body)
        made = response(algorithm, ha1, nonce.encode("latin-1"), nc.encode(), cnonce.encode(), self.qop.encode(), ha2)
        return {
            "username": self.user.encode().decode("latin-1"),
            "realm": REALM,
            "nonce": nonce,
            "uri": self.target,
            "algorithm": algorithm.value,
            "cnonce": cnonce,
            "qop": self.qop.value,
            "nc": nc,
            "opaque": OPAQUE,
            "response": made.decode(),
        }


def right(algorithm: Algorithm, user: str) -> bytes:
    return hash_a1(algorithm, user, REALM, PASSWORD)


# Secrets that somebody might come upon who does not know the password.
WRONG_SECRETS: Sequence[Callable[[Algorithm, str], bytes]] = (
    lambda _algorithm, _user: b"",
    lambda algorithm, user: hash_a1(algorithm, user, REALM, ""),
    lambda algorithm, user: hash_a1(algorithm, user, REALM, "wrong"),
    lambda algorithm, user: hash_a1(algorithm, user, "elsewhere", PASSWORD),
    lambda algorithm, user: hash_a1(algorithm, user.upper(), REALM, PASSWORD),
    lambda algorithm, user: hash_user(algorithm, user, REALM).encode(),
    lambda algorithm, _user: b"0" * algorithm.hex_length,
    lambda algorithm, user: right(Algorithm.MD5 if algorithm.plain is not Algorithm.MD5 else Algorithm.SHA_256, user),
)

forms = st.builds(
    Form,
    st.sampled_from(Algorithm),
    st.sampled_from(Qop),
    st.sampled_from([USER, "admin", "nobody", ""]),
    st.sampled_from(["GET", "PUT"]),
    st.sampled_from(["/a", "//a?b=c%2F", "*"]),
    st.integers(1, 0xFFFFFFFF),
)
octets = st.text(st.characters(max_codepoint=255), max_size=30)
names = st.sampled_from([*Form().parameters("n", right), "username*", "userhash", "stale", "shoe-size"])
interesting = st.sampled_from(
    [
        "", "true", "TRUE", "false", "auth", "auth-int", "MD5", "SHA-512-256-sess", "UTF-8''J%C3%A4s%C3%B8n",
        "UTF-8''%ff", "00000000", "00000002", "ffffffff", "0000000g", "nobody", USER, "admin", "/a?", "/a", "0" * 32,
        "0" * 64,
    ]
)  # fmt: skip


@st.composite
def headers(draw: st.DrawFn, nonces: Nonces, secret: Callable[[Algorithm, str], bytes]) -> tuple[Form, str]:
    """A request's form, and a header for it that was tampered with or not, made with a secret."""
    form = draw(forms)
    nonce = draw(
        st.builds(nonces.issue, st.sampled_from([NOW_S, NOW_S - LIFETIME_S - 1, NOW_S + 3600]))
        | st.builds(Nonces(bytes(32), MemoryReplayStore(), REALM).issue, st.just(NOW_S))
        | st.text("AZaz09-_+/=", min_size=55, max_size=57)
    )
    parameters = form.parameters(nonce, secret)
    for name, text in draw(st.dictionaries(names, interesting | octets, max_size=2)).items():
        parameters[name] = text
    for name in draw(st.sets(names, max_size=1)):
        parameters.pop(name, None)
    value = "Digest " + ", ".join(f"{name}={quote(text)}" for name, text in parameters.items())
    if draw(st.booleans()):
        place = draw(st.integers(0, len(value)))
        value = value[:place] + draw(octets) + value[place:]
    return form, value


class TestCheck:
    """Whatever is sent, the check answers; without the password it grants nothing, keeps nothing and spends nothing."""

    @given(
        st.lists(st.text(max_size=300) | octets.map("Digest {}".format), max_size=3),
        st.text(max_size=10),
        st.text(max_size=40),
        st.text(max_size=20),
    )
    @example(["Digest"], "GET", "/a", "")
    @example(["Digest " + "a" * 100_000], "GET", "/a", "::1")
    def test_answers_anything(self, authorization: list[str], method: str, target: str, address: str) -> None:
        server = Server()
        verdict = server.check(DigestRequest(method, target, authorization, address))
        assert isinstance(verdict, Refused)
        assert verdict.status in {400, 401, 429}
        assert len(server.store) == 0

    @given(st.data(), st.sampled_from(WRONG_SECRETS))
    @settings(max_examples=400)
    def test_nobody_comes_in_without_the_password(
        self, data: st.DataObject, secret: Callable[[Algorithm, str], bytes]
    ) -> None:
        server = Server()
        form, value = data.draw(headers(server.nonces, secret))
        verdict = server.check(DigestRequest(form.method, form.target, [value], "192.0.2.1"))
        assert isinstance(verdict, Refused)
        assert verdict.status in {400, 401, 429}
        assert not verdict.stale
        assert bool(verdict.www_authenticate) == (verdict.status == 401)
        assert (len(server.store), len(server.throttle) <= 1) == (0, True)

    @given(st.data())
    @settings(max_examples=300)
    def test_nothing_that_was_tampered_with_raises_though_the_password_was_right(self, data: st.DataObject) -> None:
        server = Server()
        form, value = data.draw(headers(server.nonces, right))
        verdict = server.check(DigestRequest(form.method, form.target, [value], "192.0.2.1"))
        if isinstance(verdict, Claim):
            granted = verdict.settle(unused=True)
            assert isinstance(granted, Granted)
            assert granted.user == form.user
            # It is sent in a header: one line, of octets.
            information = granted.authentication_info(b"answer")
            assert "\r" not in information
            assert "\n" not in information
            assert information.encode("latin-1")
        else:
            assert verdict.status in {400, 401, 429}

    @given(forms.filter(lambda form: form.user in {USER, "admin"} and form.count <= 4096))
    def test_the_password_opens_in_every_form(self, form: Form) -> None:
        server = Server()
        parameters = form.parameters(server.nonces.issue(NOW_S), right)
        value = "Digest " + ", ".join(f"{name}={quote(text)}" for name, text in parameters.items())
        verdict = server.check(DigestRequest(form.method, form.target, [value]))
        assert isinstance(verdict, Claim)
        assert verdict.settle(unused=server.store.use(verdict)) == Granted(form.user)
        assert isinstance(server.check(DigestRequest("DELETE", form.target, [value])), Refused)

    @given(st.data(), st.lists(st.sampled_from(WRONG_SECRETS), min_size=1, max_size=20))
    @settings(max_examples=50)
    def test_whoever_floods_a_nonce_spends_none_of_its_counts(
        self, data: st.DataObject, secrets: list[Callable[[Algorithm, str], bytes]]
    ) -> None:
        server = Server()
        form = Form()
        nonce = server.nonces.issue(NOW_S)
        for number, secret in enumerate(secrets):
            forged = Form(
                count=data.draw(st.integers(1, 3)), user=data.draw(st.sampled_from([USER, "admin", "nobody"]))
            )
            value = ", ".join(f"{name}={quote(text)}" for name, text in forged.parameters(nonce, secret).items())
            address = f"192.0.2.{data.draw(st.integers(0, 255))}"
            verdict = server.check(DigestRequest(form.method, form.target, [f"Digest {value}"], address))
            assert isinstance(verdict, Refused), number
        assert len(server.store) == 0
        assert len(server.throttle) <= CAPACITY
        for count in (3, 1, 2):
            value = ", ".join(f"{n}={quote(t)}" for n, t in Form(count=count).parameters(nonce, right).items())
            verdict = server.check(DigestRequest(form.method, form.target, [f"Digest {value}"], "198.51.100.1"))
            assert isinstance(verdict, Claim)
            assert verdict.settle(unused=server.store.use(verdict)) == Granted(USER)

    @given(st.data(), st.sampled_from(WRONG_SECRETS[:3]))
    @settings(max_examples=200)
    def test_who_exists_cannot_be_told(self, data: st.DataObject, secret: Callable[[Algorithm, str], bytes]) -> None:
        """The same header but for the name, one known and one not, gets the same answer, also when asked too often."""
        form, value = data.draw(headers(Nonces(KEY, MemoryReplayStore(), REALM), secret))
        known, unknown = Server(), Server()
        unknown.authenticator.users = users("somebody else", password=PASSWORD)
        request = DigestRequest(form.method, form.target, [value], "192.0.2.1")
        for _ in range(4):
            answers = known.check(request), unknown.check(request)
            assert isinstance(answers[0], Refused)
            assert isinstance(answers[1], Refused)
            assert likeness(answers[0]) == likeness(answers[1])


def likeness(refused: Refused) -> tuple[object, ...]:
    """What a peer is told, but for the nonce, which is always another."""
    lines = [line.partition('nonce="')[0] + line.partition('nonce="')[2][56:] for line in refused.www_authenticate]
    return refused.status, refused.reason, lines, refused.stale, refused.nonce_genuine, refused.retry_after_s


def test_secrets_are_compared_in_constant_time() -> None:
    """Of the check's source: no response is compared by anything but hmac.compare_digest, and that on bytes."""
    tree = ast.parse(inspect.getsource(digest_auth._server))
    compared = [
        {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
    ]
    assert not any({"expected", "given"} & names for names in compared)
    calls = [
        [argument.id for argument in node.args if isinstance(argument, ast.Name)]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hmac.compare_digest"
    ]
    assert calls == [["expected", "given"]]


class TestComparison:
    """The response is compared by hmac.compare_digest alone, on bytes of whatever length."""

    @pytest.mark.parametrize("sent", ["", "0", "0" * 64, "0" * 65, "\xe9" * 64])
    def test_every_response_goes_through_it(self, sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
        server = Server()
        parameters = Form().parameters(server.nonces.issue(NOW_S), right) | {"response": sent}
        value = "Digest " + ", ".join(f"{name}={quote(text)}" for name, text in parameters.items())
        compared: list[tuple[object, object]] = []
        compare = hmac.compare_digest

        def watched(a: bytes, b: bytes) -> bool:
            compared.append((a, b))
            return compare(a, b)

        monkeypatch.setattr("hmac.compare_digest", watched)
        assert isinstance(server.check(DigestRequest("GET", "/a", [value])), Refused)
        expected = Form().parameters(parameters["nonce"], right)["response"].encode()
        assert compared[-1] == (expected, sent.encode("latin-1"))
