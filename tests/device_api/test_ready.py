"""The ready file says where a server is, or is not there."""

import json
from pathlib import Path

import pytest

from device_api.ready import ReadyFile, ReadyFileError, ServerProcess

READY = ReadyFile(
    url="https://127.0.0.1:8443",
    pid=17,
    processes=(ServerProcess("proxy", 17), ServerProcess("app", 18)),
    ca_file=Path("/state/ca/ca.pem"),
    credentials_file=Path("/state/credentials"),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for ready in (READY, ReadyFile(url="http://[::1]:80", pid=1)):
        ready.write(tmp_path / "ready.json")
        assert ReadyFile.read(tmp_path / "ready.json") == ready


def test_it_is_json_with_documented_names(tmp_path: Path) -> None:
    READY.write(tmp_path / "ready.json")
    assert json.loads((tmp_path / "ready.json").read_text()) == {
        "url": "https://127.0.0.1:8443",
        "pid": 17,
        "processes": [{"role": "proxy", "pid": 17}, {"role": "app", "pid": 18}],
        "ca_file": "/state/ca/ca.pem",
        "credentials_file": "/state/credentials",
    }


def test_a_new_one_replaces_the_old_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    READY.write(tmp_path / "ready.json")
    ReadyFile(url="http://127.0.0.1:1", pid=2).write(tmp_path / "ready.json")
    assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]
    assert ReadyFile.read(tmp_path / "ready.json").pid == 2


def test_fields_of_later_versions_are_ignored(tmp_path: Path) -> None:
    READY.write(tmp_path / "ready.json")
    document = json.loads((tmp_path / "ready.json").read_text())
    (tmp_path / "ready.json").write_text(json.dumps(document | {"new": 1}))
    assert ReadyFile.read(tmp_path / "ready.json") == READY


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"url": "x", "pid": "x", "processes": 1}', "\x00"])
def test_a_broken_one_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "ready.json").write_text(content)
    with pytest.raises(ReadyFileError, match=r"ready.json: not a ready file \(") as caught:
        ReadyFile.read(tmp_path / "ready.json")
    assert "\n" not in str(caught.value)


def test_a_missing_one_or_a_place_without_room_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ReadyFileError, match="is the server up"):
        ReadyFile.read(tmp_path / "ready.json")
    with pytest.raises(ReadyFileError, match="give another path"):
        READY.write(tmp_path / "missing" / "ready.json")
