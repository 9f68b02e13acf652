"""HTTP Digest in Quart: a before-request hook.

It runs after routing and before anything is made of its outcome, so that without credentials an unknown path and a
wrong method are 401 like every other: nobody learns what exists without them. Only public paths are let through.
"""

import time

from quart import Quart, Response, g

from device_api.device import LazyDevice
from device_api.errors import NoSuchResourceError, body_for_status
from device_api.routes import PUBLIC_PATHS
from digest_auth import Claim, DigestRequest, Granted, Refused
from quart_impl._answers import answer
from quart_impl._request import request


def add_authentication(app: Quart, lazy: LazyDevice) -> None:
    """Let nobody without credentials pass, unless the device is open to everybody."""

    @app.before_request
    async def authenticate() -> Response | None:
        if request.path in PUBLIC_PATHS:
            return None
        device = lazy.get()
        if device.authenticator is None:
            return None
        verdict: Claim | Granted | Refused = device.authenticator.check(_digest_request(), now_s=time.time())
        if isinstance(verdict, Claim):
            # In memory, so never waited for; a store on another host is awaited here.
            verdict = verdict.settle(unused=device.replay_store.use(verdict))
        if isinstance(verdict, Refused):
            return _refuse(verdict)
        g.user = verdict.user
        return None

    @app.before_websocket
    async def refuse() -> None:
        # A request to upgrade comes in by another door, and must learn as little there: no route is a WebSocket.
        raise NoSuchResourceError("there is no such resource")


def _digest_request() -> DigestRequest:
    if request.target is None:
        raise RuntimeError("the ASGI server tells no raw_path, which Digest needs; use another")
    return DigestRequest(request.method, request.target, request.headers.getlist("Authorization"))


def _refuse(refused: Refused) -> Response:
    response = answer(body_for_status(refused.status, refused.reason), refused.status)
    for challenge in refused.www_authenticate:
        response.headers.add("WWW-Authenticate", challenge)
    return response
