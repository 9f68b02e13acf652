"""The path that routes are matched with keeps an encoded slash apart from a real one."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_api.targets import key_value, routing_path

CASES = [
    # target as sent, path
    ("/health", "/health"),
    ("/health?", "/health"),
    ("/health?a=/b%2F", "/health"),
    ("/he%61lth", "/health"),
    ("/a%3Ab=c", "/a:b=c"),
    ("/i=Gi1%2F0%2F1", "/i=Gi1%2F0%2F1"),
    ("/i=Gi1%2f0", "/i=Gi1%2f0"),
    ("/i=Gi1/0", "/i=Gi1/0"),
    ("/i=100%25", "/i=100%25"),
    ("/i=%252F", "/i=%252F"),
    ("/%c3%a4", "/ä"),
    ("/%c3", "/\ufffd"),
    ("/%c3%2F%a4", "/\ufffd%2F\ufffd"),
    ("/%zz%", "/%zz%"),
    ("/a//b", "/a//b"),
    ("//a//b", "/%2Fa//b"),
    ("///a", "/%2F/a"),
    ("//", "/%2F"),
    ("http://host//a", "/%2Fa"),
    ("/a/../b", "/a/../b"),
    ("http://host/a?b", "/a"),
    ("HTTPS://host:1/a%2Fb", "/a%2Fb"),
    ("http://host", "/"),
    ("http://host?a", "/"),
    ("*", "*"),
    ("host:443", "host:443"),
    ("", ""),
]


@pytest.mark.parametrize(("target", "path"), CASES)
def test_the_path_of_a_target(target: str, path: str) -> None:
    assert routing_path(target) == path


@pytest.mark.parametrize(
    ("segment", "key"),
    [("Gi1%2F0%2f1", "Gi1/0/1"), ("100%25", "100%"), ("%252F", "%2F"), ("eth0", "eth0")],
)
def test_a_key_is_decoded_once(segment: str, key: str) -> None:
    assert key_value(segment) == key


@given(st.text())
def test_every_key_survives_its_way_through_a_url(key: str) -> None:
    target = "/interface=" + quote(key.encode("utf-8", "ignore"), safe="")
    path = routing_path(target)
    assert path.count("/") == 1
    assert key_value(path.removeprefix("/interface=")) == key.encode("utf-8", "ignore").decode()


@given(st.text(st.characters(max_codepoint=255)))
def test_no_target_raises(target: str) -> None:
    routing_path(target)
