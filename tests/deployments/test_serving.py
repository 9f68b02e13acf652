"""Every deployment, started for real: what it answers, what it negotiates, that nothing of it is left.

TestClaims holds each module's abilities against the running server: a new version of a server that changes one of
them fails there, in the test that is named after the claim.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from OpenSSL import SSL

import certs
import deployments
from benchmarks.rotation import NEW_WITHIN_S, Client, Record, Rotation, Way, lateness
from certs import KeyKind, TlsVersion
from deployments import Abilities, DeploymentError, Reload, RunningServer, ServeOptions
from deployments._types import Handshake
from harness.groups import group_name
from tests.deployments.clients import (
    PING,
    REPLACED_S,
    SYSTEM_STATE,
    TIMEOUT_S,
    address,
    ask_health,
    await_successors,
    client,
    client_context,
    facing,
    family,
    renew,
    resumes,
    serial,
    shake_hands,
)

pytestmark = pytest.mark.end_to_end

every_deployment = pytest.mark.parametrize("name", deployments.names())

PING_MS = 600
CLOSED_IDLE = ("kept: RemoteDisconnected",)  # not one octet of an answer came
CLOSED_NEW = tuple(
    f"{kind}: {error}"  # who keeps a connection makes one too
    for kind in ("kept", "new")
    for error in ("RemoteDisconnected", "SSLEOFError", "ConnectionResetError", "BrokenPipeError")
)
UNAVAILABLE = (*CLOSED_IDLE, "kept: HTTPException('status 503')", "new: HTTPException('status 503')")
# Told, new processes take over; what each may cost.
BORNE = {
    Reload.SIGHUP: CLOSED_NEW,
    Reload.SIGUSR1: UNAVAILABLE,
    Reload.ASKED: CLOSED_IDLE,
    Reload.ASKED_CUTS_NEW: CLOSED_NEW,
}
RESPAWNS = frozenset(BORNE)
CLIENTS = 4  # that ask while a certificate is renewed


@pytest.fixture(scope="module", params=deployments.names())
def served(request: pytest.FixtureRequest, state: Path) -> Iterator[RunningServer]:
    """A deployment as it is served unless asked otherwise, on one processor."""
    cpu = max(os.sched_getaffinity(0))
    with deployments.start(request.param, ServeOptions(state=state), cpus=frozenset({cpu})) as server:
        yield server


def abilities(server: RunningServer) -> Abilities:
    return deployments.find(server.name).abilities


def usual_group(name: str) -> str:
    """X25519, unless a deployment's TLS has one group alone."""
    groups = deployments.find(name).abilities.key_exchange.groups
    return groups[0] if len(groups) == 1 else "X25519"


class TestServed:
    """As it comes: both versions of TLS, Digest, P-256, the pinned group."""

    def test_digest_lets_in_who_knows_the_password(self, served: RunningServer) -> None:
        with client(served) as knows:
            answer = knows.get(SYSTEM_STATE)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/yang-data+json")
        assert "ietf-system:system-state" in answer.json()

    def test_digest_keeps_out_who_does_not(self, served: RunningServer) -> None:
        with client(served, authenticated=False) as stranger:
            assert stranger.get(SYSTEM_STATE).status_code == 401
            guess = stranger.get(SYSTEM_STATE, auth=httpx.DigestAuth("admin", "guess"))
        assert guess.status_code == 401

    @pytest.mark.parametrize("version", TlsVersion)
    def test_both_versions_with_the_pinned_group(self, served: RunningServer, version: TlsVersion) -> None:
        seen = shake_hands(served, only=version)
        assert seen.version == f"TLSv{version}"
        assert group_name(seen.group) == usual_group(str(served.name))
        assert seen.key_kind == "ecdsa-p256"

    def test_the_newest_version_unless_asked_otherwise(self, served: RunningServer) -> None:
        assert shake_hands(served).version == "TLSv1.3"

    def test_processes_stay_on_their_processor(self, served: RunningServer) -> None:
        given = {max(os.sched_getaffinity(0))}
        assert all(set(process.cpu_affinity()) == given for process in family(served))

    def test_it_says_what_an_observer_needs(self, served: RunningServer) -> None:
        threads = deployments.find(served.name).threads.count
        assert (served.threads, served.workers) == (threads, 1)
        assert (served.processes[0].role, served.processes[0].pid) == ("app", served.pid)
        proxied = deployments.find(served.name).front is not None
        assert [process.role for process in served.processes[1:]] == (["proxy"] if proxied else [])
        assert served.ready_file.processes == served.processes
        assert served.ready_file.url == served.url
        assert served.poll() is None


class TestRenewal:
    """A renewed certificate is seen by every new connection within a second, and nobody's request fails.

    Who reads it in new workers alone has to be told, and takes as long as those need to follow the old ones; then
    connections that are kept may be closed, but only where no request is under way. At SIGHUP new ones may be, too.
    """

    @pytest.mark.parametrize("way", Way)
    def test_under_load(self, served: RunningServer, state: Path, way: Way) -> None:
        """Noticed by the deployment itself, or read when it is told; `reload`, which tells who listens, never hurts."""
        if abilities(served).reload is Reload.RESTART:
            check_that_only_a_restart_renews(served, state)
            return
        respawns = abilities(served).reload in RESPAWNS
        assert respawns or abilities(served).reload in {Reload.WATCHED, Reload.WATCHED_OR_SIGHUP}
        history = [Rotation(shake_hands(served).serial, None, time.monotonic())]
        with at_work(served) as record:
            renew(state)
            history.append(Rotation(serial(state), way, time.monotonic()))
            before = facing(served)
            if way is Way.SIGHUP:
                served.reload()
                if respawns:
                    await_successors(served, before)
            elif respawns:
                time.sleep(NEW_WITHIN_S)  # nothing outside can see that it does not look
                assert {visit.serial for visit in record.visits} == {history[0].serial}
                return
            while record.visits[-1].serial != history[-1].serial:
                assert time.monotonic() < history[-1].since_s + TIMEOUT_S, "the new certificate is not shown"
                time.sleep(0.01)
            seen, seen_s = len(record.visits), time.monotonic()
            while len(record.visits) < seen + 10:
                assert time.monotonic() < seen_s + TIMEOUT_S, "no more visits"
                time.sleep(0.01)
        borne = BORNE.get(abilities(served).reload, ())
        assert [failure for failure in record.failures if not failure.startswith(borne)] == []
        # A client that is refused asks again at once.
        refused = [failure for failure in record.failures if "503" in failure]
        assert len(record.failures) - len(refused) <= CLIENTS
        within_s = REPLACED_S if abilities(served).reload is Reload.SIGHUP else NEW_WITHIN_S
        assert max((late_s for _, late_s in lateness(history, record.visits)), default=0.0) < within_s
        assert {visit.serial for visit in record.visits if visit.began_s > seen_s} == {history[-1].serial}

    def test_a_request_under_way_is_answered(self, served: RunningServer, state: Path) -> None:
        """By the process that began it, also where another one takes its place."""
        outcome: list[int | None] = []
        request = threading.Thread(target=lambda: outcome.append(ping(served, authenticated=True)))
        request.start()
        time.sleep(PING_MS / 2000)  # nothing outside can see that the device is in the middle of a ping
        renew(state)
        if abilities(served).reload is not Reload.RESTART:
            served.reload()
        request.join()
        assert outcome == [200]

    def test_a_session_from_before_is_resumed(self, served: RunningServer, state: Path) -> None:
        context = client_context(served, TlsVersion.TLS_1_3)
        first = ask_health(served, context=context)
        renew(state)
        respawns = abilities(served).reload in RESPAWNS
        if respawns:  # so that the memory of sessions goes too, where nobody keeps it
            before = facing(served)
            served.reload()
            await_successors(served, before)
        renewed_s = time.monotonic()
        while abilities(served).reload is not Reload.RESTART and shake_hands(served).serial != serial(state):
            assert time.monotonic() < renewed_s + TIMEOUT_S
        again = ask_health(served, context=context, session=first.session)
        front = deployments.find(served.name).front
        kept = front.keeps_sessions if front is not None else not respawns
        assert again.resumed == (abilities(served).resumption.tls_1_3_ticket and kept)


def check_that_only_a_restart_renews(server: RunningServer, state: Path) -> None:
    """It says so, shows the old one on, and goes on serving."""
    before = shake_hands(server).serial
    renew(state)
    with pytest.raises(DeploymentError, match=r"only when it starts; stop it, and start it again$"):
        server.reload()
    assert shake_hands(server).serial == before != serial(state)
    with deployments.start(server.name, ServeOptions(state=state)) as another:
        assert shake_hands(another).serial == serial(state)


@contextlib.contextmanager
def at_work(server: RunningServer) -> Iterator[Record]:
    """Two clients that keep their connection and two that make new ones ask until the block ends."""
    assert server.ca_file is not None
    record, stopping = Record(), threading.Event()
    client = Client(address(server), certs.client_context(server.ca_file), record, threading.Lock(), stopping)
    threads = [threading.Thread(target=work) for work in [client.keep, client.come_and_go] * (CLIENTS // 2)]
    for thread in threads:
        thread.start()
    try:
        began_s = time.monotonic()
        while len(record.visits) < len(threads):
            assert time.monotonic() < began_s + TIMEOUT_S, record.failures
            time.sleep(0.01)
        yield record
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


class TestClaims:
    """What `bench list` says of a deployment is so."""

    def test_alpn(self, served: RunningServer) -> None:
        claimed = abilities(served).alpn
        assert shake_hands(served).alpn == (claimed[0] if claimed else "")

    def test_keep_alive(self, served: RunningServer) -> None:
        answer = ask_health(served, context=client_context(served, TlsVersion.TLS_1_3))
        assert answer.keeps_alive == abilities(served).keep_alive

    def test_resumption_by_ticket_in_tls_1_2(self, served: RunningServer) -> None:
        assert resumes(served, TlsVersion.TLS_1_2) == abilities(served).resumption.tls_1_2_ticket

    def test_resumption_by_session_id_in_tls_1_2(self, served: RunningServer) -> None:
        claimed = abilities(served).resumption.tls_1_2_session_id
        assert resumes(served, TlsVersion.TLS_1_2, tickets=False) == claimed

    def test_resumption_by_ticket_in_tls_1_3(self, served: RunningServer) -> None:
        assert resumes(served, TlsVersion.TLS_1_3) == abilities(served).resumption.tls_1_3_ticket

    def test_handshake_in_accept_or_not(self, served: RunningServer) -> None:
        in_accept = abilities(served).handshake is Handshake.IN_ACCEPT
        context = client_context(served, TlsVersion.TLS_1_3)
        with socket.create_connection(address(served)):
            try:
                answered = ask_health(served, context=context, timeout_s=0.7 if in_accept else 4.0).status == 200
            except TimeoutError:
                answered = False
        assert answered != in_accept
        assert ask_health(served, context=context).status == 200


@every_deployment
class TestOptions:
    """Every deployment takes every option, and means it, or says why not."""

    def test_tls_1_2_alone_with_an_rsa_key(self, name: str, state: Path) -> None:
        options = ServeOptions(state=state, tls="1.2", certificate_kind=KeyKind.RSA_2048)
        refusal = deployments.find(name).tls_refusals.get("1.2")
        if refusal is not None:
            with pytest.raises(DeploymentError) as caught:
                deployments.start(name, options)
            assert str(caught.value) == f"{name} cannot serve TLS 1.2 alone: {refusal}"
            with deployments.start(name, replace(options, tls="1.2+1.3")) as server:
                seen = shake_hands(server, only=TlsVersion.TLS_1_2)
            assert (seen.version, seen.key_kind) == ("TLSv1.2", "rsa-2048")
            return
        with deployments.start(name, options) as server:
            seen = shake_hands(server)
            assert (seen.version, seen.key_kind) == ("TLSv1.2", "rsa-2048")
            assert group_name(seen.group) == usual_group(name)
            with pytest.raises(SSL.Error):
                shake_hands(server, only=TlsVersion.TLS_1_3)
            with client(server) as knows:
                assert knows.get(SYSTEM_STATE).status_code == 200

    def test_tls_1_3_alone_with_another_group(self, name: str, state: Path) -> None:
        """One that its TLS has not is refused; the only one that it has is no choice."""
        groups = deployments.find(name).abilities.key_exchange.groups
        for group in {"X25519", "P-384"} - set(groups):
            with pytest.raises(DeploymentError, match=rf"^group {group} cannot be chosen: "):
                deployments.start(name, ServeOptions(state=state, tls="1.3", group=group))
        group = "P-384" if "P-384" in groups else groups[0]
        with deployments.start(name, ServeOptions(state=state, tls="1.3", group=group)) as server:
            seen = shake_hands(server)
            assert (seen.version, group_name(seen.group)) == ("TLSv1.3", group)
            with pytest.raises(SSL.Error):
                shake_hands(server, only=TlsVersion.TLS_1_2)
            with client(server) as knows:
                assert knows.get(SYSTEM_STATE).status_code == 200

    def test_no_tls_no_digest_and_a_stop_as_claimed(self, name: str, state: Path) -> None:
        """Stopped while a slow request runs: finished or cut as claimed, and nothing is left either way."""
        claimed = deployments.find(name).abilities
        outcome: list[int | None] = []
        with deployments.start(name, ServeOptions(state=state, tls="off", auth="none")) as server:
            assert server.url.startswith("http://")
            assert server.ca_file is None
            with client(server, authenticated=False) as anyone:
                assert anyone.get(SYSTEM_STATE).status_code == 200
            processes, folder = family(server), server.folder
            request = threading.Thread(target=lambda: outcome.append(ping(server)))
            request.start()
            time.sleep(PING_MS / 2000)  # nothing outside can see that the device is in the middle of a ping
            status = server.stop()
            request.join()
        assert status == claimed.stop_status
        assert outcome == [200 if claimed.stop_finishes_requests else None]
        assert not [process for process in processes if process.is_running()]
        assert not folder.exists()


def ping(server: RunningServer, *, authenticated: bool = False) -> int | None:
    body = {"network-device:input": {"destination": "192.0.2.1", "count": 1, "interval-ms": PING_MS}}
    headers = {"content-type": "application/yang-data+json"}
    with client(server, authenticated=authenticated) as anyone:
        try:
            return anyone.post(PING, json=body, headers=headers).status_code
        except httpx.TransportError:
            return None


@every_deployment
class TestGroups:
    """What is claimed of a TLS stack's key-exchange groups is what goes over the wire; the pinned one is seen above."""

    def test_left_to_the_stack(self, name: str, state: Path) -> None:
        """A newer OpenSSL chooses a post-quantum group unasked: why one is pinned in comparisons."""
        with deployments.start(name, ServeOptions(state=state, group=None)) as server:
            assert group_name(shake_hands(server).group) == abilities(server).key_exchange.default
            older = shake_hands(server, only=TlsVersion.TLS_1_2)
        default = deployments.find(name).abilities.key_exchange.default
        assert group_name(older.group) == ("X25519" if default == "X25519MLKEM768" else default)

    def test_post_quantum(self, name: str, state: Path) -> None:
        """Where OpenSSL is too old for it, it is refused with what it needs: OpenSSL would serve another silently."""
        options = ServeOptions(state=state, group="X25519MLKEM768")
        refusal = deployments.find(name).abilities.key_exchange.post_quantum_refusal
        if refusal is None:
            with deployments.start(name, options) as server:
                assert group_name(shake_hands(server).group) == "X25519MLKEM768"
                with pytest.raises(SSL.Error):  # which has no such group
                    shake_hands(server, only=TlsVersion.TLS_1_2)
        else:
            with pytest.raises(DeploymentError) as caught:
                deployments.start(name, options)
            assert str(caught.value).startswith(f"group X25519MLKEM768 {refusal}: choose another group")


def test_one_deployment_at_least_has_the_post_quantum_group() -> None:
    """The one whose OpenSSL comes from the package index, whatever this Python was built with."""
    exchange = deployments.find("flask-threaded-pyopenssl").abilities.key_exchange
    assert (exchange.default, exchange.post_quantum_refusal) == ("X25519MLKEM768", None)
    assert exchange.groups == deployments.GROUPS


class TestStart:
    """What goes wrong is one line: what, where, what to do."""

    def test_port_in_use(self, state: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(DeploymentError) as caught:
                deployments.start("flask-werkzeug", ServeOptions(state=state, port=port))
        assert str(caught.value) == (
            f"port {port} on 127.0.0.1: Address already in use; end the program that uses it, or choose another "
            "with --port (0: any)"
        )

    def test_a_server_that_dies_early_shows_its_last_words(
        self, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A module of this name is found before the real one, and fails.
        (tmp_path / "sitecustomize.py").write_text("import os; os.write(2, b'no mood today\\n'); os._exit(1)")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        before_s = time.monotonic()
        with pytest.raises(DeploymentError) as caught:
            deployments.start("flask-werkzeug", ServeOptions(state=state))
        assert str(caught.value) == (
            "flask-werkzeug ended with status 1 before it answered; its last line: no mood today"
        )
        assert caught.value.log_tail == ("no mood today",)
        assert time.monotonic() - before_s < 5

    def test_a_server_that_never_answers(self, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "sitecustomize.py").write_text("import signal; signal.pause()")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(DeploymentError, match=r"^flask-werkzeug did not answer within 0\.3 s \(ConnectionRefused"):
            deployments.start("flask-werkzeug", ServeOptions(state=state), startup_timeout_s=0.3)

    def test_no_auth_off_loopback(self, state: Path) -> None:
        with pytest.raises(DeploymentError, match=r"'none' would open 0\.0\.0\.0 to everybody"):
            deployments.start("quart-uvicorn", ServeOptions(state=state, auth="none", host="0.0.0.0"))

    def test_not_our_address(self, state: Path) -> None:
        with pytest.raises(DeploymentError, match=r"^192\.0\.2\.1: not an address of this machine"):
            deployments.start("quart-uvicorn", ServeOptions(state=state, host="192.0.2.1"))

    def test_a_state_folder_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(
            DeploymentError, match=r"^state folder .*; make it writable or choose another with --state$"
        ):
            deployments.start("quart-uvicorn", ServeOptions(state=tmp_path / "file"))

    def test_settings_of_the_callers_shell_do_not_reach_it(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEVICE_AUTH", "none")
        monkeypatch.setenv("DEVICE_REALM", "elsewhere")
        monkeypatch.setenv("WEB_CONCURRENCY", "2")
        with (
            deployments.start("flask-gunicorn-gthread", ServeOptions(state=state)) as server,
            client(server, authenticated=False) as stranger,
        ):
            refused = stranger.get(SYSTEM_STATE)
            assert refused.status_code == 401
            assert 'realm="network-device"' in refused.headers["www-authenticate"]
            assert len(family(server)) == 2  # the master and one worker

    def test_nor_what_changes_python_itself(self, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """But for where it finds its modules: what runs at its start, there, writes down what it was given."""
        seen = tmp_path / "seen"
        (tmp_path / "sitecustomize.py").write_text(
            "import json, os, pathlib, sys\n"
            "found = dict(os.environ), sys.flags.dev_mode, sys.flags.optimize, sys.flags.hash_randomization\n"
            f"pathlib.Path({str(seen)!r}).write_text(json.dumps(found))"
        )
        kept = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
        lost = {
            **dict.fromkeys(("PYTHONDEVMODE", "PYTHONASYNCIODEBUG", "PYTHONFAULTHANDLER", "PYTHONUNBUFFERED"), "1"),
            **dict.fromkeys(("PYTHONTRACEMALLOC", "PYTHONPROFILEIMPORTTIME", "PYTHON_OF_TOMORROW"), "1"),
            "PYTHONMALLOC": "debug",
            "PYTHONOPTIMIZE": "2",
            "PYTHONHASHSEED": "0",
            "PYTHONWARNINGS": "error",
        }
        for name, value in {**kept, **lost}.items():
            monkeypatch.setenv(name, value)
        with deployments.start("flask-werkzeug", ServeOptions(state=state)):
            environment, *flags = json.loads(seen.read_text())
        assert {name: value for name, value in environment.items() if name.startswith("PYTHON")} == kept
        assert flags == [False, 0, 1]
