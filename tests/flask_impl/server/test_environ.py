"""What the application is given: PEP 3333."""

import io
import ssl
from pathlib import Path
from typing import Any

import pytest

from certs import issue_client_certificate
from flask_impl.server._connection import Tls
from flask_impl.server._environ import connection_environ, request_environ, server_environ
from flask_impl.server._http import RequestReader
from flask_impl.server._limits import Limits


def environ(line: str = "GET / HTTP/1.1", *fields: str, tls: Tls | None = None) -> dict[str, Any]:
    reader = RequestReader(Limits())
    reader.feed("\r\n".join((line, "Host: device", *fields, "", "")).encode("latin-1"))
    server = server_environ(("127.0.0.1", 8443), tls=tls is not None)
    return request_environ(server, connection_environ(("192.0.2.1", 1234), tls), reader.requests[0], io.BytesIO())


class TestTarget:
    @pytest.mark.parametrize(
        ("target", "path", "query"),
        [
            ("/", "/", ""),
            ("/a/b?c=d&e=%20", "/a/b", "c=d&e=%20"),
            ("/a?", "/a", ""),
            ("/a?b?c", "/a", "b?c"),
            ("//a//b", "//a//b", ""),
            ("/a%2Fb%20c", "/a/b c", ""),
            ("/%C3%A9", "/\u00c3\u00a9", ""),  # octets as Latin-1 (PEP 3333, "Unicode Issues")
            ("/100%", "/100%", ""),
            ("http://other:81/a?b", "/a", "b"),
            ("http://other", "/", ""),
            ("http://other?b", "/", "b"),
        ],
    )
    def test_path_and_query(self, target: str, path: str, query: str) -> None:
        found = environ(f"GET {target} HTTP/1.1")
        assert (found["SCRIPT_NAME"], found["PATH_INFO"], found["QUERY_STRING"]) == ("", path, query)
        assert found["RAW_URI"] == found["REQUEST_URI"] == target

    def test_the_authority_of_an_absolute_target_replaces_host(self) -> None:
        assert environ("GET http://other:81/a HTTP/1.1")["HTTP_HOST"] == "other:81"

    def test_asterisk(self) -> None:
        assert environ("OPTIONS * HTTP/1.1")["PATH_INFO"] == "*"


class TestFields:
    def test_names(self) -> None:
        found = environ("POST / HTTP/1.1", "Content-Type: text/plain", "Content-Length: 0", "X-Some-Thing: \u00e9")
        assert found["CONTENT_TYPE"] == "text/plain"
        assert found["CONTENT_LENGTH"] == "0"
        assert found["HTTP_X_SOME_THING"] == "\u00e9"
        assert "HTTP_CONTENT_TYPE" not in found

    def test_lines_of_one_name_are_joined(self) -> None:
        found = environ("GET / HTTP/1.1", "Accept: a", "Cookie: b=1", "Accept: c", "Cookie: d=2")
        assert found["HTTP_ACCEPT"] == "a,c"
        assert found["HTTP_COOKIE"] == "b=1; d=2"  # RFC 9113 section 8.2.3; a comma would be part of the value

    def test_an_underscore_cannot_pass_for_a_dash(self) -> None:
        found = environ("GET / HTTP/1.1", "X_Forwarded_For: evil", "Content_Length: 5")
        assert "HTTP_X_FORWARDED_FOR" not in found
        assert "HTTP_CONTENT_LENGTH" not in found
        assert "CONTENT_LENGTH" not in found

    def test_a_client_cannot_set_what_is_the_servers(self) -> None:
        found = environ("GET / HTTP/1.1", "Remote-Addr: evil", "SSL-Client-Verify: SUCCESS")
        assert found["REMOTE_ADDR"] == "192.0.2.1"
        assert "SSL_CLIENT_VERIFY" not in found


class TestConnection:
    def test_plain(self) -> None:
        found = environ()
        assert found["wsgi.url_scheme"] == "http"
        assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == ("192.0.2.1", "1234")
        assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("127.0.0.1", "8443")
        assert "HTTPS" not in found

    def test_tls(self) -> None:
        found = environ(tls=Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256", None))
        assert (found["wsgi.url_scheme"], found["HTTPS"]) == ("https", "on")
        assert (found["SSL_PROTOCOL"], found["SSL_CIPHER"]) == ("TLSv1.3", "TLS_AES_128_GCM_SHA256")
        assert found["SSL_CLIENT_VERIFY"] == "NONE"
        assert "SSL_CLIENT_CERT" not in found
        assert "SSL_CLIENT_S_DN" not in found

    def test_client_certificate(self, tmp_path: Path) -> None:
        """PEP 3333: each string of an environment is octets, each of them a character."""
        pem = issue_client_certificate(tmp_path, "Zürich 7", organisation="Example").chain.read_text("ascii")
        leaf = pem[: pem.index("-----END") + len("-----END CERTIFICATE-----\n")]
        found = environ(tls=Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256", ssl.PEM_cert_to_DER_cert(leaf)))
        assert (found["SSL_CLIENT_VERIFY"], found["SSL_CLIENT_CERT"]) == ("SUCCESS", leaf)
        assert found["SSL_CLIENT_S_DN"].encode("latin-1").decode() == "CN=Zürich 7,O=Example"

    def test_requests_share_nothing_that_one_could_change(self) -> None:
        server, connection = server_environ(("127.0.0.1", 1), tls=False), connection_environ(("::1", 2), None)
        reader = RequestReader(Limits())
        reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        request_environ(server, connection, reader.requests[0], io.BytesIO())["REMOTE_ADDR"] = "changed"
        assert connection["REMOTE_ADDR"] == "::1"
