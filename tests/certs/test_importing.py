"""Importing certs is cheap and touches nothing: settings, plans and load generators do it for a name or two."""

import subprocess
import sys

import pytest

import certs


def test_neither_cryptography_nor_pyopenssl_is_loaded_before_it_is_used() -> None:
    program = (
        "import sys, certs; certs.KeyKind, certs.TlsPolicy, certs.client_context, certs.openssl_configuration\n"
        "assert not {'cryptography', 'OpenSSL'} & set(sys.modules)\n"
        "certs.check_pair\n"
        "assert 'cryptography' in sys.modules and 'OpenSSL' not in sys.modules\n"
        "certs.pyopenssl_server_context\n"
        "assert 'OpenSSL' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", certs.__all__)
def test_everything_that_is_offered_is_there(name: str) -> None:
    assert getattr(certs, name) is not None
    assert name in dir(certs)


def test_nothing_else_is() -> None:
    with pytest.raises(AttributeError, match="no attribute 'forge'"):
        certs.forge  # type: ignore[attr-defined]  # noqa: B018 (that it fails is the point)
