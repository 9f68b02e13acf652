"""HTTP Digest in Flask: a before-request hook.

It runs after routing and before anything is made of its outcome, so that without credentials an unknown path and a
wrong method are 401 like every other: nobody learns what exists without them. Only public paths are let through.
"""

from flask import Flask, Response, g

from device_api.authentication import Authentication
from device_api.device import LazyDevice
from device_api.errors import body_for_status
from device_api.routes import PUBLIC_PATHS
from digest_auth import AwaitingBody, Claim, DigestRequest, Granted, Refused
from flask_impl._answers import answer
from flask_impl._request import request


def add_authentication(app: Flask, lazy: LazyDevice) -> None:
    """Let nobody without credentials pass, unless the device is open to everybody."""

    @app.before_request
    def authenticate() -> Response | None:
        if request.path in PUBLIC_PATHS:
            return None
        authentication = lazy.get().authentication
        if authentication is None:
            return None
        verdict = _verdict(authentication)
        if isinstance(verdict, Refused):
            return _refuse(verdict)
        g.user = verdict.user
        if authentication.informs:
            g.granted = verdict
        return None

    @app.after_request
    def inform(response: Response) -> Response:
        granted: Granted | None = g.pop("granted", None)
        if granted is not None:
            body = response.get_data() if granted.covers_body and request.method != "HEAD" else b""
            response.headers["Authentication-Info"] = granted.authentication_info(body)
        return response


def _verdict(authentication: Authentication) -> Granted | Refused:
    verdict: Claim | AwaitingBody | Granted | Refused = authentication.check(_digest_request())
    if isinstance(verdict, AwaitingBody):
        verdict = authentication.decide(verdict, request.read_body())
    if isinstance(verdict, Claim):
        verdict = verdict.settle(unused=authentication.use(verdict))
    return verdict


def _digest_request() -> DigestRequest:
    if request.target is None:
        raise RuntimeError("the WSGI server tells neither RAW_URI nor REQUEST_URI, which Digest needs; use another")
    sent = request.environ.get("HTTP_AUTHORIZATION")
    return DigestRequest(request.method, request.target, () if sent is None else (sent,), request.remote_addr or "")


def _refuse(refused: Refused) -> Response:
    response = answer(body_for_status(refused.status, refused.reason), refused.status)
    for challenge in refused.www_authenticate:
        response.headers.add("WWW-Authenticate", challenge)
    if refused.retry_after_s is not None:
        response.headers["Retry-After"] = str(refused.retry_after_s)
    return response
