"""Check and store together against a model: a (nonce, nc) is granted at most once, whatever happens in between.

What happens: requests in any order, checked now and settled later; other clients that make the store forget; restarts;
a table that is lost; a clock that is set forward and back.
"""

import contextlib
import os
import random
import tempfile
from pathlib import Path
from typing import ClassVar
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from digest_auth import (
    Authenticator,
    Claim,
    DigestClient,
    DigestRequest,
    Granted,
    Nonces,
    Refused,
)
from tests.digest_auth.device import KEY, LIFETIME_S, NOW_S, REALM, users
from tests.digest_auth.stores.kinds import STORES, Kind

CAPACITY = 3
USERS = users("admin")
KINDS = {kind.name: kind for kind in STORES if kind.name in {"memory", "shm"}}  # what needs no server


class Machine(RuleBasedStateMachine):
    """A server with a small store, and clients who know the password."""

    kind: ClassVar[Kind]

    def __init__(self) -> None:
        super().__init__()
        self.place = contextlib.ExitStack()
        # Where a record goes, and so which one is forgotten, hangs on random octets: the same in every repetition.
        self.place.enter_context(mock.patch.object(os, "urandom", random.Random(1).randbytes))
        folder = Path(self.place.enter_context(tempfile.TemporaryDirectory()))
        self.where = self.place.enter_context(self.kind.house(folder))
        self.now_s = NOW_S
        self.clients: list[tuple[DigestClient, str]] = []  # with the nonce that each has
        self.sent: list[tuple[str, int, str]] = []  # nonce, count, header
        self.claims: list[tuple[str, int, Claim]] = []
        self.granted: set[tuple[str, int]] = set()
        self.start()

    def start(self) -> None:
        self.store = self.kind.open(self.where, "table", capacity=CAPACITY, lifetime_s=LIFETIME_S)
        nonces = Nonces(KEY, self.store, REALM)
        self.authenticator = Authenticator(realm=REALM, users=USERS, nonces=nonces, nonce_lifetime_s=LIFETIME_S)

    def check(self, *authorization: str) -> Claim | Refused:
        verdict = self.authenticator.check(DigestRequest("GET", "/a", authorization), now_s=self.now_s)
        assert isinstance(verdict, Claim | Refused)
        return verdict

    def settle(self, nonce: str, count: int, claim: Claim) -> bool:
        verdict = claim.settle(unused=self.store.use(claim))
        if isinstance(verdict, Refused):
            assert verdict.stale
            return False
        assert verdict == Granted("admin")
        assert (nonce, count) not in self.granted, "granted twice"
        self.granted.add((nonce, count))
        return True

    @rule()
    def a_client_is_challenged(self) -> None:
        self.challenged()

    def challenged(self) -> DigestClient:
        self.now_s += 0.001  # on a clock that stands still even a new nonce may be one that was forgotten
        refused = self.check()
        assert isinstance(refused, Refused)
        client = DigestClient("admin", "right")
        assert client.accept(refused.www_authenticate)
        nonce = refused.www_authenticate[0].partition('nonce="')[2].partition('"')[0]
        self.clients.append((client, nonce))
        return client

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), requests=st.integers(1, 12))
    def requests_are_written(self, data: st.DataObject, requests: int) -> None:
        client, nonce = data.draw(st.sampled_from(self.clients))
        for _ in range(requests):
            value = client.authorization("GET", "/a")
            assert value is not None
            count = int(value.partition("nc=")[2][:8], 16)
            self.sent.append((nonce, count, value))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def one_is_checked(self, data: st.DataObject) -> None:
        nonce, count, value = data.draw(st.sampled_from(self.sent))
        verdict = self.check(value)
        if isinstance(verdict, Claim):
            self.claims.append((nonce, count, verdict))
        else:
            assert (verdict.status, verdict.stale) == (401, True)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def one_is_checked_and_settled(self, data: st.DataObject) -> None:
        nonce, count, value = data.draw(st.sampled_from(self.sent))
        verdict = self.check(value)
        if isinstance(verdict, Claim):
            self.settle(nonce, count, verdict)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def a_claim_is_settled_now(self, data: st.DataObject) -> None:
        self.settle(*data.draw(st.sampled_from(self.claims)))  # perhaps again: claims stay

    @precondition(lambda self: self.granted)
    @rule(data=st.data(), others=st.integers(0, 2 * CAPACITY))
    def one_that_was_granted_is_sent_again(self, data: st.DataObject, others: int) -> None:
        self.others_come(others)
        nonce, count = data.draw(st.sampled_from(sorted(self.granted)))
        verdict = self.check(next(value for *use, value in self.sent if use == [nonce, count]))
        if isinstance(verdict, Claim):
            assert not self.settle(nonce, count, verdict)

    def others_come(self, others: int) -> None:
        for _ in range(others):
            client = self.challenged()
            verdict = self.check(client.authorization("GET", "/a") or "")
            assert isinstance(verdict, Claim)
            self.store.use(verdict)
            self.clients.pop()

    @rule(event=st.sampled_from([-4000.0, -400.0, -200.0, -10.0, 10.0, 200.0, 400.0, 4000.0, "restart", "loss"]))
    def something_befalls_the_server(self, event: float | str) -> None:
        if isinstance(event, float):
            self.now_s += event
        elif event == "restart":
            self.store.close()
            self.start()
        elif self.kind.lose is not None:
            self.kind.lose(self.where, "table")

    def teardown(self) -> None:
        """Whatever happened, a client gets in, by itself and at once."""
        try:
            for _ in range(3):
                client = self.challenged()
                verdict = self.check(client.authorization("GET", "/a") or "")
                assert isinstance(verdict, Claim)
                if self.settle(self.clients[-1][1], 1, verdict):
                    break
            else:
                pytest.fail("nobody gets in any more")
        finally:
            self.store.close()
            self.place.close()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_count_is_granted_once(kind: Kind) -> None:
    machine = type("Machine", (Machine,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
