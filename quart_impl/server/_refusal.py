"""Answers of one connection's last word, made by the server itself: nothing has been asked of the application."""

from email.utils import formatdate
from http import HTTPStatus


def refusal(status: int, reason: str) -> bytes:
    """Return a whole answer of HTTP/1.1 after which the connection ends. The reason is a line for whoever reads it."""
    body = f"{reason}\n".encode("ascii")
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"date: {formatdate(usegmt=True)}",
        "content-type: text/plain; charset=utf-8",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode("ascii") + body
