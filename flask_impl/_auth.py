"""HTTP Digest in Flask: a before-request hook.

It runs after routing and before anything is made of its outcome, so that without credentials an unknown path and a
wrong method are 401 like every other: nobody learns what exists without them. Only public paths are let through.
"""

import time

from flask import Flask, Response, g

from device_api.device import LazyDevice
from device_api.errors import body_for_status
from device_api.routes import PUBLIC_PATHS
from digest_auth import Claim, DigestRequest, Granted, Refused
from flask_impl._answers import answer
from flask_impl._request import request


def add_authentication(app: Flask, lazy: LazyDevice) -> None:
    """Let nobody without credentials pass, unless the device is open to everybody."""

    @app.before_request
    def authenticate() -> Response | None:
        if request.path in PUBLIC_PATHS:
            return None
        device = lazy.get()
        if device.authenticator is None:
            return None
        verdict: Claim | Granted | Refused = device.authenticator.check(_digest_request(), now_s=time.time())
        if isinstance(verdict, Claim):
            verdict = verdict.settle(unused=device.replay_store.use(verdict))
        if isinstance(verdict, Refused):
            return _refuse(verdict)
        g.user = verdict.user
        return None


def _digest_request() -> DigestRequest:
    if request.target is None:
        raise RuntimeError("the WSGI server tells neither RAW_URI nor REQUEST_URI, which Digest needs; use another")
    sent = request.environ.get("HTTP_AUTHORIZATION")
    return DigestRequest(request.method, request.target, () if sent is None else (sent,))


def _refuse(refused: Refused) -> Response:
    response = answer(body_for_status(refused.status, refused.reason), refused.status)
    for challenge in refused.www_authenticate:
        response.headers.add("WWW-Authenticate", challenge)
    return response
