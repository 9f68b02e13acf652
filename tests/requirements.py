"""What a test needs of the machine beyond Python: where it is absent a skip with advice, or a failure in CI."""

import os
import shutil

import pytest


def require_program(name: str, debian_package: str) -> str:
    """Path of a program. Skips the calling test, saying how to install it, where the machine lacks it.

    With REQUIRE_ALL=1 in the environment its absence fails the test: a skip must not hide a failure in CI.
    """
    path = shutil.which(name)
    if path is not None:
        return path
    advice = f"{name} is not installed: apt-get install {debian_package}"
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(advice)
    pytest.skip(advice)
