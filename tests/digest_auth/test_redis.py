"""What holds for a replay table in Redis beyond the contract of all stores; each test has a real server of its own."""

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from certs import KeyKind, ensure_ca, ensure_certificate
from digest_auth import (
    Algorithm,
    Authenticator,
    Claim,
    CountedUse,
    DigestClient,
    DigestRequest,
    Granted,
    Nonces,
    Refused,
    StoreUnavailableError,
    UserTable,
    htdigest_line,
)
from digest_auth._replay import COUNT_LIMIT
from digest_auth.redis import CONNECTIONS, RedisReplayStore
from tests.digest_auth.redis_server import ADMINISTRATOR, RedisServer, running_redis
from tests.digest_auth.stores.uses import LIFETIME_S, NOW_US, Use, identity

Door = Callable[[RedisReplayStore, CountedUse], bool]


def by_thread(store: RedisReplayStore, use: CountedUse) -> bool:
    return store.use(use)


@pytest.fixture(params=["use", "use_async"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    """Each way to ask; the asynchronous one in one event loop throughout, so that its connections live on."""
    if request.param == "use":
        yield by_thread
        return
    with asyncio.Runner() as runner:
        yield lambda store, use: runner.run(store.use_async(use))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisReplayStore]:
    with contextlib.closing(RedisReplayStore(server.url)) as store:
        yield store


def a_use(store: RedisReplayStore, count: int = 1, name: str = "n") -> Use:
    return Use(store.epoch, identity(name), NOW_US, count, NOW_US)


def await_condition(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


class TestLostWrites:
    """Whatever Redis lost, a used count never comes back: what was lost means another epoch, learnt by the next use."""

    @pytest.mark.parametrize("flush", ["FLUSHALL", "FLUSHDB"])
    def test_a_flush(self, server: RedisServer, store: RedisReplayStore, door: Door, flush: str) -> None:
        used = a_use(store)
        assert door(store, used)
        with server.administrator() as administrator:
            administrator.execute_command(flush)
        assert not door(store, used)
        assert store.epoch != used.epoch
        assert door(store, a_use(store))

    def test_a_restart_from_an_old_snapshot(self, server: RedisServer, store: RedisReplayStore, door: Door) -> None:
        used = [a_use(store, count) for count in (1, 2, 3)]
        assert door(store, used[0])
        with server.administrator() as administrator:
            administrator.save()
        assert all(door(store, use) for use in used[1:])
        server.kill()
        server.start()
        with server.administrator() as administrator:
            (record,) = (key for key in administrator.keys("{digest}:*") if not key.endswith(b":epoch"))
            assert administrator.bitcount(record) == 1  # it came back without the two, and with the old epoch's key
        assert not any(door(store, use) for use in used)
        assert store.epoch != used[0].epoch
        assert not any(door(store, use) for use in used)
        assert door(store, a_use(store))

    def test_a_device_that_was_restarted_too(self, server: RedisServer, store: RedisReplayStore) -> None:
        used = a_use(store, 2)
        with server.administrator() as administrator:
            administrator.save()
        assert store.use(used)
        store.close()
        server.kill()
        server.start()
        with contextlib.closing(RedisReplayStore(server.url)) as restarted:
            assert not restarted.use(used)
            assert restarted.epoch != used.epoch

    def test_a_log_that_lost_its_last_second(self, tmp_path: Path, door: Door) -> None:
        log_of_writes = tmp_path / "old-log"
        options = ("--appendonly", "yes", "--appendfsync", "always")
        with (
            running_redis(tmp_path, *options) as server,
            contextlib.closing(RedisReplayStore(server.url)) as store,
        ):
            assert door(store, a_use(store, 1))
            shutil.copytree(tmp_path / "appendonlydir", log_of_writes)
            used = a_use(store, 2)
            assert door(store, used)
            server.kill()
            shutil.rmtree(tmp_path / "appendonlydir")
            log_of_writes.rename(tmp_path / "appendonlydir")
            server.start()
            assert not door(store, used)
            assert store.epoch != used.epoch

    def test_a_primary_that_followed_a_replica_that_lagged(self, tmp_path: Path, door: Door) -> None:
        """The process and the connection are the same all the time; only the data became another's."""
        with contextlib.ExitStack() as resources:
            first, second = (
                resources.enter_context(running_redis(_folder(tmp_path / name))) for name in ("first", "second")
            )
            of_first = resources.enter_context(first.administrator())
            of_second = resources.enter_context(second.administrator())
            store = resources.enter_context(contextlib.closing(RedisReplayStore(first.url)))
            _follow(of_second, first)
            store.check()  # its first replica begins another history
            kept, lost = a_use(store, 3), a_use(store, 4)
            assert door(store, kept)
            _await_same_data(of_first, of_second)
            of_second.replicaof("NO", "ONE")  # what the first takes from now on is lost
            assert door(store, lost)
            before = _connected(first)
            _follow(of_first, second)
            of_first.replicaof("NO", "ONE")
            assert of_first.get("{digest}:epoch") == of_second.get("{digest}:epoch")
            assert not door(store, lost)
            assert not door(store, kept)
            assert store.epoch != lost.epoch
            assert door(store, a_use(store))
            assert _connected(first) == before

    def test_both_sides_of_a_split_count_for_themselves(self, tmp_path: Path) -> None:
        with contextlib.ExitStack() as resources:
            first, second = (
                resources.enter_context(running_redis(_folder(tmp_path / name))) for name in ("first", "second")
            )
            of_second = resources.enter_context(second.administrator())
            _follow(of_second, first)
            here = resources.enter_context(contextlib.closing(RedisReplayStore(first.url)))
            of_first = resources.enter_context(first.administrator())
            _await_same_data(of_first, of_second)
            of_second.replicaof("NO", "ONE")
            there = resources.enter_context(contextlib.closing(RedisReplayStore(second.url)))
            use = a_use(here)
            assert here.use(use)
            assert not there.use(use)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _connected(server: RedisServer) -> set[str]:
    """Which connections the stores have, by Redis' numbers of them."""
    with server.administrator() as administrator:
        return {client["id"] for client in administrator.client_list() if client["user"] == "default"}


def _follow(replica: redis.Redis, primary: RedisServer) -> None:
    replica.config_set("masteruser", "administrator")
    replica.config_set("masterauth", ADMINISTRATOR)
    replica.replicaof("127.0.0.1", str(primary.port))
    await_condition(lambda: replica.info("replication").get("master_link_status") == "up")


def _await_same_data(primary: redis.Redis, replica: redis.Redis) -> None:
    await_condition(
        lambda: primary.info("replication")["master_repl_offset"] == replica.info("replication")["slave_repl_offset"]
    )


class TestClientsGoOn:
    """A client whose nonce went with the table is told stale=true, never to ask for a password, and gets in."""

    def test_after_a_flush(self, server: RedisServer, store: RedisReplayStore) -> None:
        users = UserTable.parse(htdigest_line("admin", "r", "right", Algorithm.SHA_256))
        authenticator = Authenticator(realm="r", users=users, nonces=Nonces(bytes(32), store, "r"))

        def ask(*authorization: str) -> Granted | Refused:
            verdict = authenticator.check(DigestRequest("GET", "/", authorization), now_s=time.time())
            if isinstance(verdict, Claim):
                return verdict.settle(unused=store.use(verdict))
            assert isinstance(verdict, Refused)
            return verdict

        client = DigestClient("admin", "right")
        challenge = ask()
        assert isinstance(challenge, Refused)
        client.accept(challenge.www_authenticate)
        assert isinstance(ask(client.authorization("GET", "/") or ""), Granted)
        with server.administrator() as administrator:
            administrator.flushall()
        refused = ask(client.authorization("GET", "/") or "")
        assert isinstance(refused, Refused)
        assert (refused.status, refused.stale) == (401, True)
        client.accept(refused.www_authenticate)
        assert isinstance(ask(client.authorization("GET", "/") or ""), Granted)


class TestSeveralHosts:
    """A host learns of another's table by the first nonce of it that a client brings, which is good at once."""

    def test_a_nonce_of_an_epoch_that_only_the_other_has_learnt(
        self, server: RedisServer, store: RedisReplayStore, door: Door
    ) -> None:
        with contextlib.closing(RedisReplayStore(server.url)) as other, server.administrator() as administrator:
            before = store.epoch
            administrator.flushall()
            other.check()
            use = a_use(other)
            assert use.epoch != before
            assert door(store, use)
            assert store.epoch == other.epoch
            assert not door(store, use)


class TestOneRoundTrip:
    """A check is one command and one answer."""

    def test_redis_is_sent_one_command_a_check(self, server: RedisServer, store: RedisReplayStore, door: Door) -> None:
        door(store, a_use(store))  # connects, and teaches Redis the script
        with server.administrator() as administrator, administrator.monitor() as monitor:
            assert door(store, a_use(store, 2))
            assert not door(store, a_use(store, 2))
            administrator.echo("end")
            sent = []
            for line in monitor.listen():
                if line["client_type"] != "lua":
                    sent.append(line["command"].split()[0])
                if line["command"].startswith("ECHO"):
                    break
        assert [command for command in sent if command in {"EVALSHA", "EVAL"}] == ["EVALSHA", "EVALSHA"]
        assert {command for command in sent if command not in {"EVALSHA", "AUTH", "CLIENT", "HELLO"}} == {"ECHO"}

    def test_a_script_that_redis_forgot_is_sent_again(
        self, server: RedisServer, store: RedisReplayStore, door: Door
    ) -> None:
        assert door(store, a_use(store, 1))
        with server.administrator() as administrator:
            administrator.script_flush()
        assert door(store, a_use(store, 2))
        assert not door(store, a_use(store, 1))


class TestRecord:
    """A record takes 512 octets at most, and outlives its nonce on every host whose clock is not refused."""

    def test_its_size_and_its_life(self, server: RedisServer, store: RedisReplayStore) -> None:
        assert store.use(a_use(store, 1))
        assert store.use(a_use(store, COUNT_LIMIT))
        with server.administrator() as administrator:
            (record,) = administrator.keys(f"{{digest}}:{store.epoch.hex()}*")
            assert administrator.strlen(record) == COUNT_LIMIT // 8
            assert 2 * LIFETIME_S < administrator.pttl(record) / 1000 <= 2 * LIFETIME_S + 5
            assert administrator.pttl("{digest}:epoch") == -1

    def test_tables_of_two_prefixes_share_nothing(self, server: RedisServer, store: RedisReplayStore) -> None:
        with contextlib.closing(RedisReplayStore(server.url, prefix="another")) as another:
            assert another.epoch != store.epoch
            assert store.use(a_use(store))
            assert another.use(a_use(another))

    def test_tables_of_two_databases_share_nothing(self, server: RedisServer, store: RedisReplayStore) -> None:
        with contextlib.closing(RedisReplayStore(f"{server.url}/7")) as another:
            assert another.epoch != store.epoch


class TestUnsuitable:
    """A Redis in which replay control would not be exact is refused at start, in one line that says what to set."""

    @pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru", "volatile-ttl", "allkeys-random"])
    def test_eviction(self, tmp_path: Path, policy: str) -> None:
        with running_redis(tmp_path, "--maxmemory", "100mb", "--maxmemory-policy", policy) as server:
            expected = f"Redis at 127.0.0.1:{server.port} may evict nonces when it is full (maxmemory-policy {policy})"
            assert _refusal(server.url) == (
                f"{expected}, and requests could then be replayed: set maxmemory-policy noeviction there"
            )

    def test_eviction_that_cannot_happen_is_no_matter(self, tmp_path: Path) -> None:
        with running_redis(tmp_path, "--maxmemory", "0", "--maxmemory-policy", "allkeys-lru") as server:
            RedisReplayStore(server.url).close()

    def test_eviction_that_is_set_later_is_found_by_the_health_check_and_stops_use(
        self, server: RedisServer, store: RedisReplayStore, door: Door
    ) -> None:
        assert door(store, a_use(store, 1))
        with server.administrator() as administrator:
            administrator.config_set("maxmemory-policy", "allkeys-lru")
            administrator.config_set("maxmemory", "100mb")
            with pytest.raises(StoreUnavailableError, match="set maxmemory-policy noeviction there"):
                store.check()
            with pytest.raises(StoreUnavailableError, match="set maxmemory-policy noeviction there"):
                door(store, a_use(store, 2))
            administrator.config_set("maxmemory-policy", "noeviction")
        store.check()
        assert door(store, a_use(store, 2))

    def test_a_replica(self, server: RedisServer, tmp_path: Path) -> None:
        folder = _folder(tmp_path / "replica")
        with running_redis(folder, "--replica-read-only", "no") as replica, replica.administrator() as administrator:
            _follow(administrator, server)
            assert _refusal(replica.url).endswith("is a replica, whose data may lag: name the primary")

    def test_one_that_became_a_replica(self, server: RedisServer, tmp_path: Path, door: Door) -> None:
        """Even where a replica may be written to: what is marked there is lost."""
        with running_redis(_folder(tmp_path / "primary")) as primary, server.administrator() as administrator:
            administrator.config_set("replica-read-only", "no")
            with contextlib.closing(RedisReplayStore(server.url)) as store:
                used = a_use(store)
                assert door(store, used)
                _follow(administrator, primary)
                for use in (used, a_use(store, 2)):
                    with pytest.raises(StoreUnavailableError, match="is a replica"):
                        door(store, use)
                with pytest.raises(StoreUnavailableError, match="is a replica"):
                    store.check()

    def test_a_node_of_a_cluster(self, tmp_path: Path) -> None:
        with running_redis(tmp_path, "--cluster-enabled", "yes") as server:
            assert _refusal(server.url).endswith(
                "is part of a cluster, which this store is not for: name a Redis that holds all keys itself"
            )

    def test_a_clock_that_is_far_off(self, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        there_s = time.time() + LIFETIME_S / 2 + 30
        monkeypatch.setattr(time, "time", lambda: there_s)
        assert re.search(
            r"has a clock that is 1[78]\d s from this host's, and nonces live for 300 s: set both by NTP$",
            _refusal(server.url),
        )

    def test_a_clock_that_is_somewhat_off_is_borne(self, server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
        there_s = time.time() - LIFETIME_S / 2 + 30
        monkeypatch.setattr(time, "time", lambda: there_s)
        RedisReplayStore(server.url).close()


def _refusal(url: str) -> str:
    """What the constructor says: one line."""
    with pytest.raises(StoreUnavailableError) as refused:
        RedisReplayStore(url)
    message = str(refused.value)
    assert message.startswith("Redis at ")
    assert message.isprintable()
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return message


class TestWrongPlace:
    """What stands at the URL is not the Redis that was meant: one line with its place and what to do, and no secret."""

    def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        assert _refusal(f"redis://127.0.0.1:{port}") == (
            f"Redis at 127.0.0.1:{port} cannot be reached (Connection refused): start it, or correct the URL"
        )

    def test_no_such_socket(self, tmp_path: Path) -> None:
        assert _refusal(f"unix://{tmp_path}/none") == (
            f"Redis at {tmp_path}/none cannot be reached (No such file or directory): start it, or correct the URL"
        )

    def test_no_such_host(self) -> None:
        assert re.search(
            r"Redis at no\.such\.host\.invalid:6379 cannot be reached \(.+\)", _refusal("redis://no.such.host.invalid")
        )

    @pytest.mark.parametrize("credentials", ["", ":wr0ng-s3cret@", "somebody:wr0ng-s3cret@"])
    def test_a_wrong_password_or_none(self, tmp_path: Path, credentials: str) -> None:
        with running_redis(tmp_path, "--requirepass", "right") as server:
            message = _refusal(f"redis://{credentials}127.0.0.1:{server.port}")
            assert message.endswith("wants another user or password than the URL has: correct them there")
            assert "wr0ng-s3cret" not in message

    def test_a_password_where_none_is_set(self, server: RedisServer) -> None:
        assert "s3cret" not in _refusal(f"redis://:s3cret@127.0.0.1:{server.port}")

    @pytest.mark.parametrize("password", ["p%40ss%2Fw%3Ard%23", "%C3%A9t%C3%A9"])
    def test_the_right_password(self, tmp_path: Path, password: str) -> None:
        with running_redis(tmp_path) as server, server.administrator() as administrator:
            plain = {"p%40ss%2Fw%3Ard%23": "p@ss/w:rd#", "%C3%A9t%C3%A9": "été"}[password]
            administrator.acl_setuser("device", enabled=True, passwords=[f"+{plain}"], keys=["*"], commands=["+@all"])
            for url in (
                f"redis://device:{password}@127.0.0.1:{server.port}",
                f"{server.unix_url}?username=device&password={password}",
            ):
                RedisReplayStore(url).close()

    def test_a_user_who_may_do_no_more_than_the_message_says(self, server: RedisServer) -> None:
        url = f"redis://device:right@127.0.0.1:{server.port}"
        with server.administrator() as administrator:
            administrator.acl_setuser("device", enabled=True, passwords=["+right"], commands=["+@connection"])
            message = _refusal(url)
            allow = re.search(r"allow it (.*), and all keys that begin with (\S+)$", message)
            assert allow is not None
            commands = ["+" + name.lower() for name in re.split(", | and ", allow[1])]
            administrator.acl_setuser("device", enabled=True, commands=commands, keys=[allow[2] + "*"])
        with contextlib.closing(RedisReplayStore(url)) as store:
            assert store.use(a_use(store))

    def test_a_database_that_it_has_not(self, server: RedisServer) -> None:
        assert "answered with an error (DB index is out of range)" in _refusal(f"{server.url}/99")

    def test_keys_that_are_another_programs(self, server: RedisServer) -> None:
        with server.administrator() as administrator:
            administrator.lpush("{digest}:epoch", "x")
        assert "see who else uses its keys {digest}:*" in _refusal(server.url)

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"220 mail.example ESMTP\r\n",
            b":x\r\n",
            b"+OK\r\n" * 9,
        ],
    )
    def test_another_server(self, answer: bytes) -> None:
        with _answering(answer) as port:
            assert re.search(
                r"does not speak Redis' protocol: is the port right|answers what Redis would not: is it another server",
                _refusal(f"redis://:s3cret@127.0.0.1:{port}"),
            )

    def test_a_server_that_repeats_the_password(self) -> None:
        with _answering(b"-ERR unknown command 'AUTH', with args beginning with: 's3cret'\r\n") as port:
            assert "s3cret" not in _refusal(f"redis://:s3cret@127.0.0.1:{port}")

    def test_a_server_that_says_nothing(self) -> None:
        with _answering(b"") as port:
            start_s = time.monotonic()
            with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.2 s"):
                RedisReplayStore(f"redis://127.0.0.1:{port}", timeout_s=0.2)
            assert time.monotonic() - start_s < 0.5


@contextlib.contextmanager
def _answering(answer: bytes) -> Iterator[int]:
    """A server that sends the same to everybody, whatever it is asked, and waits for them to go."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the end of the test
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(answer)
                        while connection.recv(4096):
                            pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


class TestUrl:
    """A URL that is none is a ValueError, which repeats nothing of it: a password may stand anywhere in a wrong one."""

    @pytest.mark.parametrize(
        "url",
        [
            "s3cret",
            "http://:s3cret@host",
            "redis://",
            "redis://:s3cret@",
            "redis://:s3cret@/0",
            "redis://:s3cret/x@host",
            "redis://:s3cret#x@host",
            "redis://:s3cret?x@host",
            "redis://:s3cret@host:port",
            "redis://:s3cret@host:99999",
            "redis://:s3cret@host/zero",
            "redis://:s3cret@host/-1",
            "redis://:s3cret@host?ssl_cert_reqs=none",
            "redis://:s3cret@[::1",
            "redis://s3cret@host",
            "redis://:s3cret@" + "h" * 70,
            "unix://",
            "unix://host/path?password=s3cret",
            "unix:///path?db=x&password=s3cret",
        ],
    )
    def test_what_is_no_url(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"the URL of the replay store is none of redis://") as refused:
            RedisReplayStore(url)
        assert "s3cret" not in str(refused.value)
        assert refused.value.__suppress_context__

    @pytest.mark.parametrize("prefix", ["", "a b", "{a}", "é", "x" * 65])
    def test_what_is_no_prefix(self, prefix: str) -> None:
        with pytest.raises(ValueError, match="the prefix of the keys in Redis"):
            RedisReplayStore("redis://127.0.0.1:1", prefix=prefix)

    def test_times(self) -> None:
        with pytest.raises(ValueError, match="more than 0 s"):
            RedisReplayStore("redis://127.0.0.1:1", timeout_s=0)


class TestTls:
    """rediss:// believes the certificate of an authority that it knows, and no other."""

    @pytest.fixture
    def tls_server(self, tmp_path: Path) -> Iterator[tuple[int, Path]]:
        authority = _folder(tmp_path / "authority")
        files = ensure_certificate(authority, KeyKind.ECDSA_P256)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port: int = free.getsockname()[1]
        options = ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(ensure_ca(authority))]
        options += ["--tls-cert-file", str(files.chain), "--tls-key-file", str(files.key)]
        with running_redis(tmp_path, *options):
            yield port, ensure_ca(authority)

    def test_a_known_authority(self, tls_server: tuple[int, Path], door: Door) -> None:
        port, ca_file = tls_server
        with contextlib.closing(RedisReplayStore(f"rediss://localhost:{port}/3?ssl_ca_certs={ca_file}")) as store:
            assert door(store, a_use(store))
            assert not door(store, a_use(store))

    def test_an_unknown_authority(self, tls_server: tuple[int, Path]) -> None:
        port, _ = tls_server
        assert re.search(r"cannot be reached \(.*certificate.*\)", _refusal(f"rediss://localhost:{port}"))

    def test_no_tls_there(self, server: RedisServer) -> None:
        with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.2 s: is it up, does it speak TLS"):
            RedisReplayStore(f"rediss://127.0.0.1:{server.port}", timeout_s=0.2)

    def test_tls_not_asked_for(self, tls_server: tuple[int, Path]) -> None:
        port, _ = tls_server
        assert re.search(r"TLS \(rediss://\)|cannot be reached", _refusal(f"redis://127.0.0.1:{port}"))

    def test_no_such_authority_s_file(self, tls_server: tuple[int, Path]) -> None:
        port, ca_file = tls_server
        assert "(No such file or directory)" in _refusal(f"rediss://localhost:{port}?ssl_ca_certs={ca_file}x")


class TestFull:
    """A full Redis takes nobody in; when it has room again it does."""

    def test_out_of_memory(self, server: RedisServer, store: RedisReplayStore, door: Door) -> None:
        assert door(store, a_use(store, 1))
        with server.administrator() as administrator:
            administrator.config_set("maxmemory", "1mb")
            for count in (1, 2):
                with pytest.raises(StoreUnavailableError, match="is full: raise its maxmemory"):
                    door(store, a_use(store, count))
            with pytest.raises(StoreUnavailableError, match="is full: raise its maxmemory"):
                store.check()
            administrator.config_set("maxmemory", "0")
        store.check()
        assert door(store, a_use(store, 2))
        assert not door(store, a_use(store, 1))


class TestDown:
    """A Redis that is down lets nobody in, holds no thread or loop beyond the timeout, and is found again by itself."""

    def test_killed_and_started_again(self, server: RedisServer, store: RedisReplayStore, door: Door) -> None:
        used = a_use(store)
        assert door(store, used)
        server.kill()
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match=r"cannot be reached \(Connection refused\)"):
                door(store, a_use(store, 2))
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            store.check()
        server.start()
        assert not door(store, used)  # the table went with the process
        assert door(store, a_use(store))
        store.check()

    def test_a_restart_between_two_uses_goes_unnoticed_but_for_the_epoch(
        self, server: RedisServer, store: RedisReplayStore, door: Door
    ) -> None:
        assert door(store, a_use(store, 1))
        server.stop()
        server.start()
        assert not door(store, a_use(store, 2))
        assert door(store, a_use(store, 2))

    def test_frozen(self, server: RedisServer, door: Door) -> None:
        with contextlib.closing(RedisReplayStore(server.url, timeout_s=0.2)) as store:
            used = a_use(store)
            assert door(store, used)
            server.freeze()
            for _ in range(2):  # the first has a connection, the second makes one
                start_s = time.monotonic()
                with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.2 s"):
                    door(store, a_use(store, 2))
                assert time.monotonic() - start_s < 0.4
            server.thaw()
            assert not door(store, used)
            assert door(store, a_use(store, 3))

    def test_the_loop_goes_on_while_redis_does_not(self, server: RedisServer) -> None:
        async def ticks_meanwhile(store: RedisReplayStore) -> int:
            asked = asyncio.gather(
                *(store.use_async(a_use(store, count)) for count in range(1, 3 * CONNECTIONS)), return_exceptions=True
            )
            ticks = 0
            while not asked.done():
                await asyncio.sleep(0.01)
                ticks += 1
            assert all(isinstance(answer, StoreUnavailableError) for answer in await asked)
            return ticks

        with contextlib.closing(RedisReplayStore(server.url, timeout_s=0.2)) as store:
            server.freeze()
            assert 5 < asyncio.run(ticks_meanwhile(store)) < 40
            server.thaw()

    def test_threads_that_get_no_turn_wait_no_longer_than_the_others(self, server: RedisServer) -> None:
        with contextlib.closing(RedisReplayStore(server.url, timeout_s=0.3)) as store:
            said: list[str] = []

            def ask() -> None:
                try:
                    store.use(a_use(store))
                except StoreUnavailableError as error:
                    said.append(str(error))

            threads = [threading.Thread(target=ask) for _ in range(2 * CONNECTIONS)]
            server.freeze()
            start_s = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert time.monotonic() - start_s < 0.6
            assert len(said) == len(threads)
            server.thaw()

    def test_a_cancelled_use_spoils_no_other(self, server: RedisServer, store: RedisReplayStore) -> None:
        """Its answer comes after all, and must not be taken for the next question's."""

        async def ask() -> list[bool]:
            assert await store.use_async(a_use(store, 1))
            server.freeze()
            cancelled = asyncio.create_task(store.use_async(a_use(store, 2)))
            await asyncio.sleep(0.05)
            cancelled.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await cancelled
            server.thaw()
            return [await store.use_async(a_use(store, count)) for count in (1, 3, 1, 3)]

        assert asyncio.run(ask()) == [False, True, False, False]


class TestConnections:
    """Few, closed when the store or the loop is at its end, and never shared with a forked process."""

    def test_many_threads_share_few(self, server: RedisServer, store: RedisReplayStore) -> None:
        won: list[int] = []

        def race() -> None:
            won.extend(count for count in range(1, 101) if store.use(a_use(store, count)))

        threads = [threading.Thread(target=race) for _ in range(4 * CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == list(range(1, 101))
        assert 1 <= len(_connected(server)) <= CONNECTIONS

    def test_many_tasks_share_few_and_the_loop_closes_them(self, server: RedisServer, store: RedisReplayStore) -> None:
        async def race() -> int:
            answers = await asyncio.gather(*(store.use_async(a_use(store, count % 200 + 1)) for count in range(1000)))
            assert 2 <= await asyncio.to_thread(lambda: len(_connected(server))) <= 1 + CONNECTIONS
            return sum(answers)

        assert asyncio.run(race()) == 200
        await_condition(lambda: len(_connected(server)) == 1)  # the one of threads

    def test_each_loop_has_its_own(self, store: RedisReplayStore) -> None:
        async def use(count: int) -> bool:
            return await store.use_async(a_use(store, count))

        assert [asyncio.run(use(count)) for count in (1, 2, 1)] == [True, True, False]

    def test_closing_closes_them_all(self, server: RedisServer, store: RedisReplayStore) -> None:
        async def use_and_close() -> None:
            assert await store.use_async(a_use(store, 1))
            store.close()
            await asyncio.to_thread(await_condition, lambda: len(_connected(server)) == 0)
            with pytest.raises(StoreUnavailableError, match="was closed"):
                await store.use_async(a_use(store, 2))

        asyncio.run(use_and_close())
        for ask in (lambda: store.use(a_use(store, 2)), store.check):
            with pytest.raises(StoreUnavailableError, match="was closed"):
                ask()

    def test_redis_may_close_those_that_are_idle(
        self, server: RedisServer, store: RedisReplayStore, door: Door
    ) -> None:
        assert door(store, a_use(store, 1))
        with server.administrator() as administrator:
            administrator.client_kill_filter(_type="normal", skipme=True)
        assert door(store, a_use(store, 2))

    def test_a_forked_process_makes_its_own(self, server: RedisServer) -> None:
        """As a server that opens its store and then forks its workers; in a process of its own, which may fork."""
        words = [sys.executable, "-m", "tests.digest_auth.forking", server.url]
        won = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
        assert sorted(map(int, won)) == list(range(1, 1001))
