"""Rendering of the files that a server is started with, and that its reader can take home.

What may hold any character, a path above all, goes in through a filter, as a literal of the file's language: a path
with a quote in it stays a path. What goes in as it is has been checked before: names, addresses, numbers.
"""

import json
import shlex
from functools import cache
from typing import Final

import jinja2

from deployments._errors import DeploymentError

_FOLDER: Final = "templates"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("deployments", _FOLDER),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - none of these is HTML: the filters below know each file's language
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["py"] = _literal
    environment.filters["nginx"] = _nginx_string
    environment.filters["apache"] = _apache_string
    environment.filters["uwsgi"] = _uwsgi_value
    environment.filters["haproxy"] = _haproxy_word
    environment.filters["caddy"] = _caddy_string
    environment.filters["json"] = json.dumps
    environment.filters["quote"] = _shell_word
    return environment


def render_template(name: str, /, **values: object) -> str:
    """Fill one template in. Raises jinja2.UndefinedError for a value that was not given."""
    return _environment().get_template(name).render(**values)


def _literal(value: object) -> str:
    """Write a value as a Python literal; a path as the text of it."""
    if isinstance(value, bool | int | float | None):
        return repr(value)
    text = str(value)
    quoted = repr(text)
    # Double quotes, as a formatter would choose, wherever that changes nothing else.
    return f'"{quoted[1:-1]}"' if quoted[0] == "'" and '"' not in text else quoted


def _nginx_string(value: object) -> str:
    """Write a value as a quoted string of nginx: a backslash escapes itself and the quote; `$` begins a variable."""
    text = str(value)
    if "$" in text or "\n" in text:
        raise DeploymentError(
            f"{text!r}: nginx cannot be told of a path with a dollar sign or a line end; choose another"
        )
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _apache_string(value: object) -> str:
    """Write a value as a quoted word of Apache's: a backslash escapes itself and the quote; `${` begins a variable."""
    text = str(value)
    if "${" in text or "\n" in text:
        raise DeploymentError(f"{text!r}: Apache cannot be told of a path with ${{ or a line end; choose another")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _caddy_string(value: object) -> str:
    """Write a value as a token of a Caddyfile: between backquotes all is literal but variables, in braces."""
    text = str(value)
    if "`" in text or "{" in text:
        raise DeploymentError(
            f"{text!r}: Caddy cannot be told of a path with a backquote or an opening brace; choose another"
        )
    return f"`{text}`"


def _haproxy_word(value: object) -> str:
    """Write a value as one word of HAProxy's, in double quotes, where `$` begins a variable."""
    text = str(value)
    for letter in '\\"$':
        text = text.replace(letter, f"\\{letter}")
    return '"' + text.replace("\n", "\\n").replace("\r", "\\r") + '"'


def _shell_word(value: object) -> str:
    """Write a value as one word of a shell's."""
    return shlex.quote(str(value))


def _uwsgi_value(value: object) -> str:
    """Write a value for uWSGI's ini, which knows no quoting: commas divide, per cent signs and brackets replace."""
    text = str(value)
    if any(mark in text for mark in (",", "%", "$(", "@(", "\n")) or text != text.strip():
        raise DeploymentError(
            f"{text!r}: uWSGI cannot be told of a path with a comma, a per cent sign, $(, @(, a line end or a space at "
            "either end; choose another"
        )
    return text
