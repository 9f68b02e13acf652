"""docs/certificates.md: what can be tried without a certificate."""

import subprocess
from pathlib import Path

from tests.lets_encrypt.machine import page_files
from tests.requirements import require_program

UNIT = "/etc/systemd/system/device.service"


def verified(unit: Path) -> str:
    """What systemd has to say about a unit; nothing is good."""
    program = require_program("systemd-analyze", "systemd")
    done = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
    return done.stderr


def test_systemd_understands_every_line_of_the_service(tmp_path: Path) -> None:
    unit = tmp_path / "device.service"
    text = page_files()[UNIT].replace("/opt/device/bin/python", "/bin/true")
    unit.write_text(text)
    assert verified(unit) == ""
    unit.write_text(text.replace("ProtectClock=", "ProtectClocks="))
    assert "ProtectClocks" in verified(unit)
