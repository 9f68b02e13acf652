import datetime as dt
import re
import runpy
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs import KeyKind
from certs._issuing import self_signed
from certs._keys import key_pem
from device_api.command_line import Program, parse, run
from device_api.settings import Settings, SettingsError
from device_api.state import StateError, open_state

FLASK = Program(
    name="python -m flask_impl",
    summary="Serve it from Flask.",
    tls_backends=("stdlib", "pyopenssl"),
    threaded=True,
)
QUART = Program(name="python -m quart_impl", summary="Serve it from Quart.")

# An option, and the variables that say the same.
SPELLINGS = [
    (["--host", "::1"], {"DEVICE_HOST": "::1"}),
    (["--port", "0"], {"DEVICE_PORT": "0"}),
    (["--ready-file", "ready.json"], {"DEVICE_READY_FILE": "ready.json"}),
    (["--threads", "3"], {"DEVICE_THREADS": "3"}),
    (["--tls", "1.2"], {"DEVICE_TLS_VERSIONS": "1.2"}),
    (["--tls", "1.3"], {"DEVICE_TLS_VERSIONS": "1.3"}),
    (["--tls", "1.2+1.3"], {"DEVICE_TLS_VERSIONS": "1.2,1.3"}),
    (["--tls-backend", "pyopenssl"], {"DEVICE_TLS_BACKEND": "pyopenssl"}),
    (["--certificate", "c", "--key", "k"], {"DEVICE_CERTIFICATE": "c", "DEVICE_KEY": "k"}),
    (
        ["--certificate", "a", "--key", "b", "--certificate", "c", "--key", "d"],
        {"DEVICE_CERTIFICATE": "a,c", "DEVICE_KEY": "b,d"},
    ),
    (["--certificate-kind", "rsa-2048,ecdsa-p256"], {"DEVICE_CERTIFICATE_KIND": "rsa-2048,ecdsa-p256"}),
    (
        ["--client-ca", "c", "--client-certificates", "optional"],
        {"DEVICE_CLIENT_CA": "c", "DEVICE_CLIENT_CERTIFICATES": "optional"},
    ),
    (["--adhoc"], {"DEVICE_ADHOC": "on"}),
    (["--no-tls"], {"DEVICE_TLS": "off"}),
    (["--client-ca", "ca.pem"], {"DEVICE_CLIENT_CA": "ca.pem"}),
    (["--auth", "none"], {"DEVICE_AUTH": "none"}),
    (["--users", "people"], {"DEVICE_USERS": "people"}),
    (["--replay-store", "shm:router"], {"DEVICE_REPLAY_STORE": "shm:router"}),
    (["--state", "elsewhere"], {"DEVICE_STATE": "elsewhere"}),
    (["--datastore", "sqlite:///x"], {"DEVICE_DATASTORE": "sqlite:///x"}),
]


def help_text(program: Program, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as leaving:
        parse(program, ["--help"], {})
    assert leaving.value.code == 0
    return capsys.readouterr().out


class TestOptions:
    """An option says what its variable says, and wins over it."""

    def test_none_leaves_the_defaults(self) -> None:
        assert parse(FLASK, [], {}) == Settings()

    @pytest.mark.parametrize(("options", "variables"), SPELLINGS)
    def test_it_means_what_its_variable_means(self, options: list[str], variables: dict[str, str]) -> None:
        assert parse(FLASK, options, {}) == Settings.from_environ(variables) == parse(FLASK, [], variables)

    def test_every_option_is_in_that_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        offered = set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", help_text(FLASK, capsys), re.MULTILINE))
        assert offered - {"--help"} == {word for options, _ in SPELLINGS for word in options if word.startswith("--")}

    def test_it_wins_over_its_variable(self) -> None:
        settings = parse(FLASK, ["--port", "1", "--tls", "1.3"], {"DEVICE_PORT": "2", "DEVICE_TLS_VERSIONS": "1.2"})
        assert (settings.port, [version.value for version in settings.tls_versions]) == (1, ["1.3"])

    def test_what_it_leaves_open_comes_from_variables(self) -> None:
        assert parse(QUART, ["--port", "1"], {"DEVICE_REALM": "lab"}) == Settings(port=1, realm="lab")

    @pytest.mark.parametrize(
        ("options", "variables", "chosen"),
        [
            (["--adhoc"], {"DEVICE_CERTIFICATE": "c", "DEVICE_KEY": "k"}, (True, True, None)),
            (["--adhoc"], {"DEVICE_TLS": "off"}, (True, True, None)),
            (["--no-tls"], {"DEVICE_CERTIFICATE": "c", "DEVICE_KEY": "k"}, (False, False, None)),
            (["--no-tls"], {"DEVICE_ADHOC": "on"}, (False, False, None)),
            (["--certificate", "c", "--key", "k"], {"DEVICE_ADHOC": "on"}, (True, False, "c")),
            (["--certificate", "c", "--key", "k"], {"DEVICE_TLS": "off"}, (True, False, "c")),
            (["--certificate", "new"], {"DEVICE_CERTIFICATE": "old", "DEVICE_KEY": "k"}, (True, False, "new")),
        ],
    )
    def test_one_way_to_serve_takes_back_what_variables_chose(
        self, options: list[str], variables: dict[str, str], chosen: tuple[bool, bool, str | None]
    ) -> None:
        settings = parse(QUART, options, variables)
        assert (settings.tls, settings.adhoc, ",".join(map(str, settings.certificate)) or None) == chosen

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
    def test_auth_none_is_for_loopback(self, host: str) -> None:
        assert parse(QUART, ["--auth", "none", "--host", host], {}).auth == "none"


class TestHelp:
    """What a stranger reads first works when it is typed."""

    @pytest.mark.parametrize("program", [FLASK, QUART], ids=lambda program: program.name)
    def test_it_opens_with_examples_that_can_be_parsed(
        self, program: Program, capsys: pytest.CaptureFixture[str]
    ) -> None:
        opening, _, _ = help_text(program, capsys).partition("usage:")
        summary, _, *lines = opening.strip().splitlines()
        assert summary == program.summary
        examples = [re.split(r"  +", line.strip())[0] for line in lines[1:]]
        assert len(examples) >= 4
        for example in examples:
            assert example.startswith(program.name)
            parse(program, shlex.split(example.removeprefix(program.name)), {})

    def test_every_setting_is_an_option_or_a_variable_named_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        text = help_text(FLASK, capsys)
        for field in fields(Settings):
            option = "--" + field.name.replace("_", "-")
            assert option in text or f"DEVICE_{field.name.upper()}" in text

    def test_kinds_of_certificates_are_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        text = help_text(QUART, capsys)
        assert all(kind.value in text for kind in KeyKind)

    def test_quart_has_no_threads(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "--threads" not in help_text(QUART, capsys)


class TestRun:
    """A person's mistake is one line and status 2; a programmer's is a traceback."""

    def test_the_server_gets_the_settings(self) -> None:
        seen: list[Settings] = []
        assert run(QUART, seen.append, ["--port", "7"], {}) == 0
        assert seen == [Settings(port=7)]

    def test_mistake(self, capsys: pytest.CaptureFixture[str]) -> None:
        def serve(_: Settings) -> None:
            raise StateError("state folder x:\nfull")

        assert run(QUART, serve, [], {}) == 2
        assert capsys.readouterr() == ("", "python -m quart_impl: error: state folder x: full\n")

    def test_a_defect_is_not_dressed_up(self) -> None:
        def serve(_: Settings) -> None:
            raise ValueError("unexpected")

        with pytest.raises(ValueError, match="unexpected"):
            run(QUART, serve, [], {})

    def test_interrupted_before_serving(self) -> None:
        def serve(_: Settings) -> None:
            raise KeyboardInterrupt

        assert run(QUART, serve, [], {}) == 130


# What is wrong on the command line or in a variable; what the line must say.
WRONG_SETTINGS = [
    (["--prot", "1"], {}, "unrecognized arguments: --prot"),
    (["--port"], {}, "--port: expected one argument"),
    (["--port", "x"], {}, "--port (DEVICE_PORT): 'x' is not a whole number"),
    ([], {"DEVICE_PORT": "x"}, "--port (DEVICE_PORT): 'x' is not a whole number"),
    (["--port", "65536"], {}, "give 0 (any free one) to 65535"),
    (["--host", ""], {}, "--host (DEVICE_HOST): is empty"),
    (["--tls", "1.1"], {}, "--tls: invalid choice: '1.1'"),
    (["--tls-backend", "nss"], {}, "'nss' is not one of stdlib, pyopenssl"),
    (["--certificate-kind", "rsa-248"], {}, "did you mean 'rsa-2048'?"),
    (["--certificate", "c"], {}, "--key (DEVICE_KEY): a certificate and its key go together"),
    (["--key", "k"], {}, "--certificate (DEVICE_CERTIFICATE): a certificate and its key go together"),
    (["--adhoc", "--certificate", "c", "--key", "k"], {}, "leave out --certificate and --key"),
    (["--no-tls", "--client-ca", "c"], {}, "--client-ca (DEVICE_CLIENT_CA): needs TLS"),
    (["--no-tls"], {"DEVICE_CLIENT_CA": "c"}, "--client-ca (DEVICE_CLIENT_CA): needs TLS"),
    (["--auth", "none", "--host", "0.0.0.0"], {}, "'none' would open 0.0.0.0 to everybody"),
    (["--auth", "none"], {"DEVICE_HOST": "example.net"}, "'none' would open example.net to everybody"),
    (["--auth", "basic"], {}, "'basic' is not one of digest, none"),
]


@pytest.mark.parametrize("program", [FLASK, QUART], ids=lambda program: program.name)
@pytest.mark.parametrize(("arguments", "environ", "says"), WRONG_SETTINGS)
def test_wrong_settings(program: Program, arguments: list[str], environ: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(program, arguments, environ)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "environ"), [(["--tls-backend", "pyopenssl"], {}), ([], {"DEVICE_TLS_BACKEND": "pyopenssl"})]
)
def test_quart_refuses_pyopenssl_rather_than_ignoring_it(arguments: list[str], environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="can only use stdlib"):
        parse(QUART, arguments, environ)


# From here on with the real programs: what only shows when a server is about to start.

MODULES = ["flask_impl", "quart_impl"]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_state(tmp_path_factory.mktemp("state")).folder


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("expired")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = self_signed(key, ["localhost"], dt.datetime(2001, 1, 1, tzinfo=dt.UTC))
    (folder / "chain.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key_pem(key))
    return ["--certificate", str(folder / "chain.pem"), "--key", str(folder / "key.pem")]


@pytest.fixture
def soon_over() -> Iterator[None]:
    """A program that serves where it should have refused ends the test instead of holding it up."""

    def complain(*_: object) -> None:
        raise AssertionError("it serves")

    before = signal.signal(signal.SIGALRM, complain)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("soon_over")
class TestRefusingToStart:
    """Whatever is wrong when a server starts: one line on stderr that says what and where, status 2."""

    @pytest.fixture(params=MODULES)
    def module(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def refuse(
        self,
        module: str,
        state: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> "Refuse":
        return Refuse(module, state, monkeypatch, capsys)

    def test_port_in_use(self, refuse: "Refuse") -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            assert f"--port (DEVICE_PORT): {port} is in use on 127.0.0.1" in refuse("--port", port)

    @pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a..b"])
    def test_no_address_of_this_machine(self, refuse: "Refuse", host: str) -> None:
        assert f"--host (DEVICE_HOST): cannot listen on {host!r}" in refuse("--host", host)

    def test_missing_certificate(self, refuse: "Refuse", state: Path) -> None:
        key = state / "certificates" / "ecdsa-p256" / "key.pem"
        assert "/nowhere/chain.pem" in refuse("--certificate", "/nowhere/chain.pem", "--key", str(key))

    def test_missing_key(self, refuse: "Refuse", state: Path) -> None:
        ca = state / "ca" / "ca.pem"
        assert "/nowhere/key.pem" in refuse("--certificate", str(ca), "--key", "/nowhere/key.pem")

    def test_mismatched_key(self, refuse: "Refuse", state: Path, expired: list[str]) -> None:
        line = refuse("--certificate", str(state / "ca" / "ca.pem"), "--key", expired[-1])
        assert "does not belong to the certificate" in line
        assert expired[-1] in line

    def test_expired_certificate(self, refuse: "Refuse", expired: list[str]) -> None:
        line = refuse(*expired)
        assert "expired" in line
        assert expired[1] in line

    def test_unreadable_client_ca(self, refuse: "Refuse") -> None:
        assert "/nowhere/ca.pem" in refuse("--client-ca", "/nowhere/ca.pem")

    @pytest.mark.parametrize("content", [None, "", "not htdigest\n"])
    def test_unusable_users_file(self, refuse: "Refuse", tmp_path: Path, content: str | None) -> None:
        users = tmp_path / "users"
        if content is not None:
            users.write_text(content)
        assert str(users) in refuse("--users", str(users))

    def test_unwritable_state_folder(self, refuse: "Refuse", tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        folder = str(tmp_path / "file" / "state")  # also closed to root
        assert f"state folder {folder}" in refuse("--state", folder)

    @pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite:////nowhere/x.db"])
    def test_unusable_datastore(self, refuse: "Refuse", url: str) -> None:
        assert "--datastore (DEVICE_DATASTORE): " in refuse("--datastore", url)

    def test_unwritable_ready_file(self, refuse: "Refuse") -> None:
        assert "/nowhere/ready.json: cannot write the ready file" in refuse("--ready-file", "/nowhere/ready.json")

    def test_refused_settings(self, refuse: "Refuse") -> None:
        assert "'none' would open 0.0.0.0 to everybody" in refuse("--auth", "none", "--host", "0.0.0.0")

    @pytest.mark.end_to_end
    def test_as_a_process(self, module: str) -> None:
        command = [sys.executable, "-m", module, "--host", "0.0.0.0", "--auth", "none"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith(f"python -m {module}: error: ")

    @pytest.mark.end_to_end
    def test_help_as_a_process(self, module: str) -> None:
        command = [sys.executable, "-m", module, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"  python -m {module} --port 0" in done.stdout


class Refuse:
    """`python -m MODULE`, as far as it gets in this process: the line that it refuses to start with."""

    def __init__(
        self, module: str, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._module = module
        self._state = state
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> str:
        self._capsys.readouterr()
        command = [self._module, "--state", str(self._state), "--port", "0", *arguments]
        self._monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as leaving:
            runpy.run_module(f"{self._module}.__main__", run_name="__main__")
        output, errors = self._capsys.readouterr()
        assert leaving.value.code == 2
        assert output == ""
        prefix = f"python -m {self._module}: error: "
        assert errors.startswith(prefix)
        assert errors.endswith("\n")
        assert errors.count("\n") == 1
        return errors.removeprefix(prefix).rstrip()
