"""docs/digest.md, copied and typed: its users, apps and servers are real, and its figures are those of the code."""

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import httpx
import pytest
import redis

from device_api.settings import PREFIX, Settings, parse_setting
from device_api.state import read_credentials
from digest_auth import COUNT_LIMIT, MemoryReplayStore, ShmReplayStore, Throttle
from digest_auth._replay_file import WAYS, size_octets
from digest_auth._server import CLOCK_SKEW_S
from digest_auth._users_watched import WATCH_S
from digest_auth.httpx import SharedDigestAuth
from digest_auth.redis import RedisReplayStore
from tests.digest_auth.redis_server import running_redis
from tests.docs.pages import PAGES, ROOT, blocks, console, files, transcripts
from tests.docs.workshop import Server, free_port, furnish, run, serving, typed

pytestmark = pytest.mark.end_to_end

PAGE = ROOT / "docs" / "digest.md"
(HYPERCORN,) = (command for command in console(PAGE) if command.endswith("digest_quart:app"))
PASSWORD = "correct horse battery staple"
ROW = re.compile(rf"^\| `{PREFIX}(\w+)` \| (.+?) \| ", re.MULTILINE)
NOT_OF_DIGEST = {
    *("state", "host", "port", "threads", "connections", "pending_connections", "datastore", "ready_file", "log_level"),
    *("tls", "tls_backend", "tls_versions", "certificate", "key", "certificate_kind", "adhoc"),
    *("client_ca", "client_certificates"),
    *("added_cpu_us", "added_delay_ms"),
}


class TestFigures:
    """What the page says in figures is what the code does."""

    def test_the_table_has_every_setting_of_digest_and_its_default(self) -> None:
        table = {name.lower(): default for name, default in ROW.findall(PAGE.read_text())}
        assert table.keys() == {field.name for field in fields(Settings)} - NOT_OF_DIGEST
        settings = Settings()
        assert (table.pop("users"), settings.users) == ("`users` in the state folder", None)
        for name, printed in table.items():
            default = getattr(settings, name)
            assert (not default) if printed == "none" else (default == parse_setting(name, printed.strip("`"))), name

    @pytest.mark.parametrize(
        ("sentence", "figures"),
        [
            (r"(\d+) to (\d+) \|$", (1, COUNT_LIMIT)),
            (r"\*\*Clocks\*\* may differ by (\d+) s", (CLOCK_SKEW_S,)),
            (r"takes longer than (\d+) s", (inspect.signature(RedisReplayStore).parameters["timeout_s"].default,)),
            (r"- ([\d,]+) octets, all taken at the start", (size_octets(65_536 // WAYS),)),
            (r"remembers ([\d,]+) nonces", (inspect.signature(ShmReplayStore).parameters["capacity"].default,)),
            (r"remembers ([\d,]+) nonces", (inspect.signature(MemoryReplayStore).parameters["capacity"].default,)),
            (r"Of (\d+) tries at once, (\d+) a minute", (Settings().failed_tries, Settings().failed_tries_per_minute)),
            (r"fills its ([\d,]+) places", (inspect.signature(Throttle).parameters["capacity"].default,)),
        ],
    )
    def test_it_is_so(self, sentence: str, figures: tuple[float, ...]) -> None:
        found = re.search(sentence, PAGE.read_text(), re.MULTILINE)
        assert found is not None
        assert tuple(float(figure.replace(",", "")) for figure in found.groups()) == figures

    def test_a_changed_users_file_holds_after_a_quarter_of_a_second(self) -> None:
        assert WATCH_S == 0.25
        assert "a quarter of a second later" in PAGE.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_is_a_setting(page: Path) -> None:
    known = {f"{PREFIX}{field.name.upper()}" for field in fields(Settings)}
    assert set(re.findall(rf"\b{PREFIX}[A-Z_]+", page.read_text())) <= known


def test_commands_answer_as_printed(tmp_path: Path) -> None:
    """On a terminal, one after the other in one folder; what is asked there is answered."""
    for command, output in transcripts(PAGE):
        if "client.py" not in command:
            assert typed(tmp_path, command, PASSWORD) == output, command


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digest")
    furnish(folder, PAGE)
    (folder / "password").write_text(f"{PASSWORD}\n")
    run(folder, "python -m digest_auth add users alice --realm api --stdin < password")
    (key,) = (command for command in console(PAGE) if command.endswith("> nonce-key)"))
    run(folder, key)
    return folder


def test_no_file_is_left_out() -> None:
    assert set(files(PAGE)) == {"digest_flask.py", "digest_quart.py", "client.py"}


@dataclass(frozen=True, slots=True)
class App:
    """One of the page's two, served as it says."""

    folder: Path
    server: Server

    def client(self, password: str = PASSWORD) -> httpx.Client:
        client = self.server.client()
        client.auth = SharedDigestAuth("alice", password, prefers_auth_int=True)
        return client


@pytest.fixture(scope="module", params=["python digest_flask.py", HYPERCORN], ids=["flask", "quart"])
def app(request: pytest.FixtureRequest, furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder, port = tmp_path_factory.mktemp("app"), free_port()
    with (
        table_of_its_own(furnished / "digest_quart.py", "digest-app"),
        serving(furnished, folder, request.param.replace("8443", str(port)), ports={"8443": port}) as server,
    ):
        yield App(folder, server)


@contextmanager
def table_of_its_own(program: Path, printed: str) -> Iterator[None]:
    """Have a program use another shared table than the one that may be in use on this machine."""
    ours, text = f"test-{os.getpid()}", program.read_text()
    assert f'"{printed}"' in text
    program.write_text(text.replace(printed, ours))
    try:
        yield
    finally:
        program.write_text(text)
        ShmReplayStore.remove(ours)


class TestApps:
    """Both apps ask for credentials, take the page's client, and prove their answers."""

    def test_the_client_prints_what_is_printed(self, app: App) -> None:
        (printed,) = (output for command, output in transcripts(PAGE) if command == "python client.py")
        assert run(app.folder, "python client.py") == printed

    def test_bodies_are_signed_both_ways_on_error_pages_too(self, app: App) -> None:
        """SharedDigestAuth raises where the proof is wrong."""
        with app.client() as client:
            client.get("/")  # as the page's client does: Hypercorn may lose a 401 to a body that nobody reads
            answers = [client.post("/notes", content=b"x" * 1000), client.get("/no/such/page"), client.head("/")]
        assert [answer.status_code for answer in answers] == [200, 404, 200]
        assert all(answer.headers["Authentication-Info"].startswith("qop=auth-int") for answer in answers)

    def test_one_challenge_is_enough_for_all_connections(self, app: App) -> None:
        """They reach now one worker, now another."""
        with app.client() as client:
            auth = client.auth
            assert client.get("/").status_code == 200
        for _ in range(8):
            with app.server.client() as client:
                answer = client.get("/", auth=auth)
                assert (answer.status_code, answer.history) == (200, [])
                assert "nc=00000001" not in answer.request.headers["Authorization"]

    def test_a_request_that_was_overheard_is_stale(self, app: App) -> None:
        with app.client() as client:
            heard = client.get("/").request.headers["Authorization"]
        with app.server.client() as listener:
            again = listener.get("/", headers={"Authorization": heard})
        assert again.status_code == 401
        assert again.headers["WWW-Authenticate"].endswith("stale=true")

    def test_another_target_is_refused(self, app: App) -> None:
        with app.client() as client:
            heard = client.get("/").request.headers["Authorization"]
        with app.server.client() as listener:
            assert listener.get("/notes", headers={"Authorization": heard}).status_code == 400

    def test_wrong_passwords_meet_429_in_the_end(self, app: App) -> None:
        """Comes last, for alice has no tries left then. Two workers have twice the tries."""
        statuses = []
        with app.server.client() as client:
            for _ in range(2 * Settings().failed_tries + 1):
                answer = client.get("/", auth=SharedDigestAuth("alice", "wrong"))
                statuses.append(answer.status_code)
                if answer.status_code == 429:
                    break
        assert (statuses[0], statuses[-1]) == (401, 429)
        assert 1 <= int(answer.headers["Retry-After"]) <= 6


def test_after_a_restart_clients_go_on_by_themselves(furnished: Path, tmp_path: Path) -> None:
    auth, port, challenges = SharedDigestAuth("alice", PASSWORD), free_port(), []
    for _ in range(2):
        with (
            serving(furnished, tmp_path, "python digest_flask.py", ports={"8443": port}) as server,
            server.client() as client,
        ):
            answer = client.get("/", auth=auth)
            assert answer.status_code == 200
            challenges += [challenge.headers["WWW-Authenticate"] for challenge in answer.history]
    assert [challenge.endswith("stale=true") for challenge in challenges] == [False, True]


@pytest.mark.parametrize("server", ["gunicorn", "hypercorn"])
def test_workers_of_the_device_share_a_table(furnished: Path, tmp_path: Path, server: str) -> None:
    (command,) = (each for each in console(PAGE) if f"shm:device {server} " in each)
    name, port = f"test-{os.getpid()}", free_port()
    command = command.replace("8443", str(port)).replace("shm:device", f"shm:{name}").replace("=4", "=2")
    command = command.replace("--workers 4", "--workers 2").replace("DEVICE_WORKERS", "env DEVICE_WORKERS", 1)
    try:
        with serving(furnished, tmp_path, command, ports={"8443": port}) as running, running.client() as client:
            assert client.get("/health").status_code == 200
            auth = SharedDigestAuth(*read_credentials(tmp_path / ".device" / "credentials"))
            target = "/restconf/data/ietf-system:system-state"
            assert client.get(target, auth=auth).status_code == 200
            assert ShmReplayStore(name).path.exists()
    finally:
        ShmReplayStore.remove(name)


def test_the_rights_that_are_printed_are_enough_for_redis(tmp_path: Path) -> None:
    (rule,) = (block.text.strip() for block in blocks(PAGE) if block.text.startswith("ACL SETUSER"))
    with running_redis(tmp_path) as server:
        with server.administrator() as administrator:
            administrator.execute_command(*rule.split())
        store = RedisReplayStore(f"redis://digest:PASSWORD@127.0.0.1:{server.port}")
        store.check()
        store.close()
        with redis.Redis(port=server.port, username="digest", password="PASSWORD", protocol=2) as stranger:
            for refused in ("KEYS *", "GET other", "CONFIG GET *"):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    stranger.execute_command(*refused.split())
