"""A machine as docs/certificates.md has it, in a folder: its files are the page's, word for word but for their places.

Absolute paths of the page (/etc, /var, /run, /usr/local) lie below the folder. systemd is the one thing that is not
there: `systemctl` is a few lines of shell that do for a unit what its unit file says.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT, blocks, console

PAGE: Final = ROOT / "docs" / "certificates.md"

_NAMED: Final = re.compile(r"(?:#!.*\n)?# (/\S+)\n")
_PLACE: Final = re.compile(r"(?<![\w./])/(?:etc|var|run|usr/local)/")

SYSTEMCTL: Final = """#!/bin/sh
echo "$*" >> {folder}/systemctl.log
test -x "{folder}/units/$2" || {{ echo "Unit $2 not found." >&2; exit 5; }}
exec "{folder}/units/$2" "$1"
"""


def page_files() -> dict[str, str]:
    """The page's files by their paths, which the first comment of each says."""
    return {named[1]: block.text for block in blocks(PAGE) if (named := _NAMED.match(block.text))}


def page_commands(*words: str) -> list[str]:
    """The commands of the page that have all these words, without sudo."""
    commands = [command.removeprefix("sudo ") for command in console(PAGE)]
    return [command for command in commands if set(words) <= set(shlex.split(command))]


def page_command(*words: str) -> str:
    """The page's one command that has all these words."""
    (command,) = page_commands(*words)
    return command


@dataclass(frozen=True, slots=True)
class Machine:
    folder: Path

    @classmethod
    def prepared(cls, folder: Path) -> "Machine":
        machine = cls(folder)
        for path in ("/usr/local/bin", "/usr/local/sbin", "/run"):
            machine.at(path).mkdir(parents=True)
        (folder / "units").mkdir()
        systemctl = machine.programs / "systemctl"
        systemctl.write_text(SYSTEMCTL.format(folder=folder))
        systemctl.chmod(0o755)
        return machine

    @property
    def programs(self) -> Path:
        return self.at("/usr/local/bin")

    def at(self, path: str) -> Path:
        return self.folder / path.removeprefix("/")

    def placed(self, text: str) -> str:
        """A text of the page with its paths in this machine."""
        return _PLACE.sub(lambda found: f"{self.folder}{found[0]}", text)

    def install(self, path: str, changes: Mapping[str, str] | None = None) -> Path:
        """Put a file of the page where it belongs. What is changed in it has to be there."""
        text = page_files()[path]
        for old, new in (changes or {}).items():
            assert old in text, f"{path} has no {old!r}"
            text = text.replace(old, new)
        target = self.at(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.placed(text))
        if text.startswith("#!"):
            target.chmod(0o755)
        return target

    def unit(self, name: str, script: str) -> None:
        """Say what `systemctl VERB NAME` does: a shell script, whose $1 is the verb."""
        file = self.folder / "units" / name
        file.write_text(f"#!/bin/sh\nset -eu\n{script}\n")
        file.chmod(0o755)

    def systemctl_calls(self) -> list[str]:
        log = self.folder / "systemctl.log"
        return log.read_text().splitlines() if log.exists() else []
