"""Digest for httpx's clients, over DigestClient. Needs the httpx distribution, so the package does not import it.

    auth = SharedDigestAuth(user, password)
    with httpx.Client(auth=auth) as client: ...
    async with httpx.AsyncClient(auth=auth) as client: ...

What httpx's own DigestAuth does not do: it speaks SHA-512-256, auth-int and userhash; takes the strongest algorithm
offered, not the first; goes on with one nonce over all requests, connections and clients, and with the next one as soon
as the server names it; checks the server's proof that it knows the password; and gives up a wrong password at once.

Where it differs from the DigestClient under it: that is for one server, this has one for each.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import Final, NamedTuple

import httpx

from digest_auth._client import DigestClient, RspauthError

_MOST_RETRIES: Final = 3
"""A nonce may be used up by others between its arrival and its use, but hardly three times in a row."""


class BodySpentError(httpx.StreamError):
    """A body had been sent when a challenge (or a redirect) came, and cannot be read a second time.

    The challenge has been learnt: the same request, made anew, needs none.
    """

    def __init__(self) -> None:
        super().__init__(
            "the request has to be sent again, with credentials, and its body cannot be read a second time: pass bytes,"
            " or make the request once more with a new body, for the challenge has been learnt now"
        )


class _Whole(NamedTuple):
    """Asks the one who does the I/O to read a message to its end."""

    message: httpx.Request | httpx.Response


_Steps = Generator[httpx.Request | _Whole, httpx.Response, None]


class SharedDigestAuth(httpx.Auth):
    """Digest credentials of one user, for any number of requests, threads, tasks and clients, sync or async, at once.

    prefers_auth_int: whether to protect bodies too where the server leaves the choice. With auth-int, which is taken
    unasked where a server offers nothing else, the bodies of requests are read into memory, and so are those of the
    answers that the server has proved; `requires_request_body = True` reads every request's.

    Each server (scheme, host and port) has nonces of its own, and is sent credentials only after it asked for them.
    Where a redirect leads to another server that one's challenge is left to the caller, as a 401; only from http to
    https on the same host, default ports, it is answered, as httpx itself would have it.

    A 401 that is returned means that the server refuses the credentials (`refused` tells it for a URL), or offers
    nothing that can be answered. Raises BodySpentError, and httpx.RemoteProtocolError where a server's proof is wrong.
    """

    def __init__(self, username: str, password: str, *, prefers_auth_int: bool = False) -> None:
        def new_client() -> DigestClient:  # a closure, since it shows nobody what it holds
            return DigestClient(username, password, prefers_auth_int=prefers_auth_int)

        new_client()  # raises ValueError here, not at the first request
        self._new_client = new_client
        self._clients: dict[tuple[str, str, int | None], DigestClient] = {}

    def refused(self, url: httpx.URL | str) -> bool:
        """Whether the server of a URL said that the user or the password is wrong."""
        client = self._clients.get(_server(httpx.URL(url)))
        return client is not None and client.refused

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """What httpx.Client calls."""
        if not _is_read(request) and isinstance(request.stream, httpx.SyncByteStream):
            request.stream = _SyncBody(request.stream)
        steps = self._steps(request)
        step = next(steps, None)
        while step is not None:
            if isinstance(step, _Whole):
                step.message.read()
                step = next(steps, None)
            else:
                step = _next(steps, (yield step))

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """What httpx.AsyncClient calls."""
        if not _is_read(request) and isinstance(request.stream, httpx.AsyncByteStream):
            request.stream = _AsyncBody(request.stream)
        steps = self._steps(request)
        step = next(steps, None)
        while step is not None:
            if isinstance(step, _Whole):
                await step.message.aread()
                step = next(steps, None)
            else:
                step = _next(steps, (yield step))

    def _steps(self, request: httpx.Request) -> _Steps:
        for tries_left in range(_MOST_RETRIES, -1, -1):
            client = self._client(request.url)
            sent = yield from self._authorize(client, request)
            response = yield request
            redirected = response.request is not request
            if redirected:
                if not _may_follow(request.url, response.request.url):
                    return
                # httpx sends the header along, though it is good for the first target alone: it counts as none.
                request, sent = response.request, ""
                client = self._client(request.url)
            if response.status_code == httpx.codes.UNAUTHORIZED:
                # A last challenge is learnt, for the next request, and not answered.
                if not client.accept(_lines(response, b"www-authenticate"), authorization=sent) or not tries_left:
                    return
                _take_cookies(request, response)
            elif redirected and response.status_code == httpx.codes.BAD_REQUEST and _lines(request, b"authorization"):
                continue  # it was told the first target's credentials (RFC 7616 section 3.4.6)
            else:
                if sent:
                    yield from _learn(client, response, sent)
                return

    def _client(self, url: httpx.URL) -> DigestClient:
        server = _server(url)
        client = self._clients.get(server)
        return client if client is not None else self._clients.setdefault(server, self._new_client())

    def _authorize(self, client: DigestClient, request: httpx.Request) -> Generator[_Whole, None, str]:
        """Give the request its header, if a challenge is known; return it, or nothing."""
        if self.requires_request_body or client.covers_body:
            yield _Whole(request)
        target = request.extensions.get("target", request.url.raw_path)  # as httpcore will send it
        body = request.content if _is_read(request) else b""
        value = client.authorization(request.method, target.decode("latin-1"), body)
        # Octets, since httpx would make UTF-8 of text.
        headers = [(name, text) for name, text in request.headers.raw if name.lower() != b"authorization"]
        if value is not None:
            headers.append((b"Authorization", value.encode("latin-1")))
        if client.covers_body:
            # The answer's proof covers its content as coded; httpx hands out what is decoded.
            headers = [(name, text) for name, text in headers if name.lower() != b"accept-encoding"]
            headers.append((b"Accept-Encoding", b"identity"))
        request.headers = httpx.Headers(headers)
        return value or ""


def _next(steps: _Steps, answer: httpx.Response) -> httpx.Request | _Whole | None:
    try:
        return steps.send(answer)
    except StopIteration:
        return None


def _learn(client: DigestClient, response: httpx.Response, sent: str) -> Generator[_Whole, None, None]:
    """Take the answer's Authentication-Info to heart. Raises httpx.RemoteProtocolError."""
    info = ", ".join(_lines(response, b"authentication-info"))
    if not info:
        return
    content = None
    if client.covers_content(info):
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx.RemoteProtocolError(
                "the answer's rspauth cannot be checked: its content is coded, which the request had asked not to be",
                request=response.request,
            )
        yield _Whole(response)
        content = response.content
    try:
        client.learn(info, authorization=sent, content=content)
    except RspauthError as error:
        raise httpx.RemoteProtocolError(str(error), request=response.request) from error


class _SyncBody(httpx.SyncByteStream):
    """A body that is not in memory. Whoever reads it a second time gets as much as the first time, or BodySpentError.

    Without it a file that has been read to its end would be sent as an empty body.
    """

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream
        self._passes = _Passes()

    def __iter__(self) -> Iterator[bytes]:
        count = self._passes.begin()
        try:
            for chunk in self._stream:
                count.length += len(chunk)
                yield chunk
        except httpx.StreamConsumed:
            raise BodySpentError from None
        self._passes.end(count)

    def close(self) -> None:
        self._stream.close()


class _AsyncBody(httpx.AsyncByteStream):
    """The same for AsyncClient."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream
        self._passes = _Passes()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = self._passes.begin()
        try:
            async for chunk in self._stream:
                count.length += len(chunk)
                yield chunk
        except httpx.StreamConsumed:
            raise BodySpentError from None
        self._passes.end(count)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Pass:
    """One reading of a body."""

    def __init__(self) -> None:
        self.length = 0


class _Passes:
    """The readings of a body, which must all come to the same length."""

    def __init__(self) -> None:
        self._begun = False
        self._length: int | None = None  # known after the first that was not broken off

    def begin(self) -> _Pass:
        if self._begun and self._length is None:  # broken off: a file would go on from there
            raise BodySpentError
        self._begun = True
        return _Pass()

    def end(self, last: _Pass) -> None:
        if self._length is not None and last.length != self._length:
            raise BodySpentError
        self._length = last.length


def _is_read(request: httpx.Request) -> bool:
    try:
        request.content  # noqa: B018 (it is what tells)
    except httpx.RequestNotRead:
        return False
    return True


def _lines(message: httpx.Request | httpx.Response, lowered_name: bytes) -> list[str]:
    """The values of header lines, a character for each octet: httpx itself guesses an encoding."""
    return [value.decode("latin-1") for name, value in message.headers.raw if name.lower() == lowered_name]


_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def _server(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or _DEFAULT_PORTS.get(url.scheme)


def _may_follow(asked: httpx.URL, redirected: httpx.URL) -> bool:
    """Whether credentials meant for the one may go to the other."""
    here, there = _server(asked), _server(redirected)
    return here == there or (here == ("http", asked.host, 80) and there == ("https", asked.host, 443))


def _take_cookies(request: httpx.Request, response: httpx.Response) -> None:
    """Send the cookies that came with the challenge: some servers keep the nonce in one."""
    if response.cookies:
        pairs = _cookie_pairs(request.headers.pop("Cookie", ""))
        httpx.Cookies(response.cookies).set_cookie_header(request)  # only those that are for this URL
        pairs |= _cookie_pairs(request.headers.pop("Cookie", ""))
        request.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in pairs.items())


def _cookie_pairs(header: str) -> dict[str, str]:
    return {name: value for name, _, value in (pair.partition("=") for pair in header.split("; ") if pair)}
