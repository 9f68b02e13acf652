"""HTTP clients that others wrote, each told to use Digest in the way that its manual shows."""

import asyncio
import contextlib
import os
import platform
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.error import HTTPError

import aiohttp
import httpx
import requests
from playwright.sync_api import Browser, sync_playwright

import certs
from digest_auth._header import credentials
from digest_auth.httpx import SharedDigestAuth
from tests.requirements import require_program

TIMEOUT_S = 10.0
MEDIA_TYPE = "application/yang-data+json"


@dataclass(frozen=True)
class Asked:
    """What to ask for, as a URL's path and query."""

    method: str
    target: str
    body: bytes | None = None


@dataclass(frozen=True)
class Place:
    """A device, and who asks."""

    url: str
    ca_file: Path
    user: str
    password: str


@dataclass(frozen=True)
class Answer:
    """What came of a request in the end."""

    status: int
    authorization: str | None  # sent last; None: none was, or the client does not tell


Ask = Callable[[Place, Sequence[Asked]], list[Answer]]
"""Make the requests one after the other, in one session where the client has such a thing."""


def outcome(answers: Sequence[Answer]) -> str:
    """What came of them in few words: what was used, if all were let in; or what went wrong, beside what did not.

    What a resource makes of a request that was let in is no matter here.
    """
    seen = []
    for one in answers:
        if one.status == 401:
            seen.append("sends no credentials" if one.authorization is None else f"refused: {used(one.authorization)}")
        elif one.status == 400 or one.status > 405:
            seen.append(f"status {one.status}")
        elif one.authorization is not None:
            seen.append(used(one.authorization))
    return " / ".join(dict.fromkeys(seen))


def used(authorization: str) -> str:
    """What of Digest a client used: the algorithm, and what else is not the common thing."""
    sent = credentials(authorization)
    if sent is None:
        return authorization.partition(" ")[0]
    parts = [sent.get("algorithm", "MD5")]
    qop = sent.get("qop")
    if qop != "auth":
        parts.append(qop or "no qop")
    if sent.get("userhash") == "true":
        parts.append("hashed name")
    return ", ".join(parts)


# As curl 7.88 shows it in HTTP/1.1 and in HTTP/2.
_CURL_SENT = re.compile(r"^(?:> |\* h2h3 \[)authorization: (.*?)\]?\r?$", re.IGNORECASE | re.MULTILINE)


def with_curl(place: Place, asked: Sequence[Asked], *, scheme: str = "--digest") -> list[Answer]:
    """A process for each request."""
    program = require_program("curl", "curl")
    answers = []
    for one in asked:
        command = [program, "--disable", "--silent", "--verbose", "--noproxy", "*", "--cacert", str(place.ca_file)]
        command += [scheme, "--user", f"{place.user}:{place.password}", "--request", one.method]
        if one.body is not None:
            command += ["--header", f"Content-Type: {MEDIA_TYPE}", "--data-binary", "@-"]
        command += ["--output", "/dev/null", "--write-out", "%{http_code}", place.url + one.target]
        done = subprocess.run(command, input=one.body, capture_output=True, timeout=TIMEOUT_S, check=True)
        sent = _CURL_SENT.findall(done.stderr.decode("latin-1"))
        answers.append(Answer(int(done.stdout), sent[-1] if sent else None))
    return answers


def with_wget(place: Place, asked: Sequence[Asked]) -> list[Answer]:
    """A process for each request. What was sent is in its debug output."""
    program = require_program("wget", "wget")
    answers = []
    for one in asked:
        command = [program, "--no-config", "--no-proxy", "--debug", "--tries=1"]
        # Not the system's folder of CAs, which takes it 0.1 s to read.
        command += [f"--ca-certificate={place.ca_file}", f"--ca-directory={place.ca_file.parent}"]
        command += [f"--user={place.user}", f"--password={place.password}", f"--method={one.method}"]
        if one.body is not None:
            command += [f"--header=Content-Type: {MEDIA_TYPE}", f"--body-data={one.body.decode()}"]
        command += ["--output-document=/dev/null", place.url + one.target]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
        said = done.stderr.decode("latin-1")
        statuses = re.findall(r"^HTTP/1\.[01] ([0-9]{3})", said, re.MULTILINE)
        sent = re.findall(r"^Authorization: ([^\r\n]*)", said, re.MULTILINE)
        answers.append(Answer(int(statuses[-1]), sent[-1] if sent else None))
    return answers


def with_requests(place: Place, asked: Sequence[Asked]) -> list[Answer]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(place.ca_file)
        session.auth = requests.auth.HTTPDigestAuth(place.user, place.password)
        answers = [
            session.request(
                one.method,
                place.url + one.target,
                data=one.body,
                headers={"Content-Type": MEDIA_TYPE},
                timeout=TIMEOUT_S,
            )
            for one in asked
        ]
    return [Answer(one.status_code, _text(one.request.headers.get("Authorization"))) for one in answers]


def _text(value: str | bytes | None) -> str | None:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def with_httpx(place: Place, asked: Sequence[Asked], *, auth: httpx.Auth | None = None) -> list[Answer]:
    """auth: another than its own."""
    with httpx.Client(
        auth=httpx.DigestAuth(place.user, place.password) if auth is None else auth,
        verify=certs.client_context(place.ca_file),
        timeout=TIMEOUT_S,
        trust_env=False,
    ) as client:
        answers = [
            client.request(one.method, place.url + one.target, content=one.body, headers={"Content-Type": MEDIA_TYPE})
            for one in asked
        ]
    return [Answer(one.status_code, one.request.headers.get("Authorization")) for one in answers]


def with_ours(place: Place, asked: Sequence[Asked]) -> list[Answer]:
    """httpx with digest_auth.httpx."""
    return with_httpx(place, asked, auth=SharedDigestAuth(place.user, place.password))


def with_aiohttp(place: Place, asked: Sequence[Asked]) -> list[Answer]:
    async def ask() -> list[Answer]:
        middleware = aiohttp.DigestAuthMiddleware(place.user, place.password)
        context = certs.client_context(place.ca_file)
        answers = []
        async with aiohttp.ClientSession(
            middlewares=(middleware,), timeout=aiohttp.ClientTimeout(TIMEOUT_S), headers={"Content-Type": MEDIA_TYPE}
        ) as session:
            for one in asked:
                async with session.request(one.method, place.url + one.target, data=one.body, ssl=context) as answer:
                    answers.append(Answer(answer.status, answer.request_info.headers.get("Authorization")))
        return answers

    with ThreadPoolExecutor(1) as thread:  # Playwright keeps a loop running in ours
        return thread.submit(asyncio.run, ask()).result()


def with_urllib(place: Place, asked: Sequence[Asked]) -> list[Answer]:
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, place.url, place.user, place.password)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=certs.client_context(place.ca_file)),
        urllib.request.HTTPDigestAuthHandler(passwords),
    )
    answers = []
    for one in asked:
        request = urllib.request.Request(  # noqa: S310 (a device's URL, not somebody's)
            place.url + one.target, one.body, {"Content-Type": MEDIA_TYPE}, method=one.method
        )
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                status = answer.status
        except HTTPError as error:
            status = error.code
            error.close()
        answers.append(Answer(status, request.get_header("Authorization")))
    return answers


@contextlib.contextmanager
def chromium(home: Path, ca_file: Path) -> Iterator[Browser]:
    """Debian's Chromium, in a home folder of its own where the CA is trusted."""
    program = require_program("chromium", "chromium")
    certutil = require_program("certutil", "libnss3-tools")
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    for arguments in (("-N", "--empty-password"), ("-A", "-t", "C,,", "-n", "ca", "-i", str(ca_file))):
        subprocess.run([certutil, "-d", f"sql:{database}", *arguments], check=True, capture_output=True)
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=quiet, env={**os.environ, "HOME": str(home)})
        yield browser
        browser.close()


_FETCH = """async ({target, method, body, type}) =>
    {await fetch(target, {method, body, headers: body === null ? {} : {'Content-Type': type}})}"""


def with_browser(browser: Browser, place: Place, asked: Sequence[Asked]) -> list[Answer]:
    """A page of the device asks by `fetch`; the browser's own network code answers the challenges.

    Of a request that was challenged the browser tells the first try alone: the one without credentials.
    """
    context = browser.new_context(http_credentials={"username": place.user, "password": place.password})
    page = context.new_page()
    # Whoever opens the first page of a device is asked for the password here.
    page.goto(place.url + asked[0].target)
    answers = []
    for one in asked:
        with page.expect_response(lambda response: response.url != "", timeout=TIMEOUT_S * 1000) as seen:
            page.evaluate(
                _FETCH,
                {
                    "target": one.target,
                    "method": one.method,
                    "body": None if one.body is None else one.body.decode(),
                    "type": MEDIA_TYPE,
                },
            )
        answers.append(Answer(seen.value.status, seen.value.request.all_headers().get("authorization")))
    context.close()
    return answers


CLIENTS: Mapping[str, Ask] = {
    "curl": with_curl,
    "wget": with_wget,
    "requests": with_requests,
    "httpx": with_httpx,
    "aiohttp": with_aiohttp,
    "urllib": with_urllib,
    "digest_auth": with_ours,
}
"""All but the browser, which is started once for many."""


def installed_version(client: str) -> str:
    """Of the client as it is on this machine."""
    if client in {"requests", "httpx", "aiohttp"}:
        return version(client)
    if client == "digest_auth":
        return version("https-digest-bench")
    if client == "urllib":
        return platform.python_version()
    done = subprocess.run([client, "--version"], capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    (found,) = re.findall(r"[0-9]+(?:\.[0-9]+)+", done.stdout.splitlines()[0])[:1]
    return str(found)
