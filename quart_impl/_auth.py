"""HTTP Digest in Quart: a before-request hook.

It runs after routing and before anything is made of its outcome, so that without credentials an unknown path and a
wrong method are 401 like every other: nobody learns what exists without them. Only public paths are let through.
"""

from quart import Quart, Response, g

from device_api.authentication import Authentication
from device_api.device import LazyDevice
from device_api.errors import NoSuchResourceError, body_for_status
from device_api.routes import PUBLIC_PATHS
from digest_auth import AwaitingBody, Claim, DigestRequest, Granted, Refused
from quart_impl._answers import answer
from quart_impl._request import request


def add_authentication(app: Quart, lazy: LazyDevice) -> None:
    """Let nobody without credentials pass, unless the device is open to everybody."""

    @app.before_request
    async def authenticate() -> Response | None:
        if request.path in PUBLIC_PATHS:
            return None
        authentication = lazy.get().authentication
        if authentication is None:
            return None
        verdict = await _verdict(authentication)
        if isinstance(verdict, Refused):
            return _refuse(verdict)
        g.user = verdict.user
        if authentication.informs:
            g.granted = verdict
        return None

    @app.after_request
    async def inform(response: Response) -> Response:
        granted: Granted | None = g.pop("granted", None)
        if granted is not None:
            body = await response.get_data(as_text=False) if granted.covers_body and request.method != "HEAD" else b""
            response.headers["Authentication-Info"] = granted.authentication_info(body)
        return response

    @app.before_websocket
    async def refuse() -> None:
        # A request to upgrade comes in by another door, and must learn as little there: no route is a WebSocket.
        raise NoSuchResourceError("there is no such resource")


async def _verdict(authentication: Authentication) -> Granted | Refused:
    verdict: Claim | AwaitingBody | Granted | Refused = authentication.check(_digest_request())
    if isinstance(verdict, AwaitingBody):
        verdict = authentication.decide(verdict, await request.read_body())
    if isinstance(verdict, Claim):
        verdict = verdict.settle(unused=await authentication.use_async(verdict))
    return verdict


def _digest_request() -> DigestRequest:
    if request.target is None:
        raise RuntimeError("the ASGI server tells no raw_path, which Digest needs; use another")
    sent = request.headers.getlist("Authorization")
    return DigestRequest(request.method, request.target, sent, request.remote_addr or "")


def _refuse(refused: Refused) -> Response:
    response = answer(body_for_status(refused.status, refused.reason), refused.status)
    for challenge in refused.www_authenticate:
        response.headers.add("WWW-Authenticate", challenge)
    if refused.retry_after_s is not None:
        response.headers["Retry-After"] = str(refused.retry_after_s)
    return response
