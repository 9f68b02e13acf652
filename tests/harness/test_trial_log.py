"""What was written stays written: a torn line is cut on resume, two writers never share a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from harness.trial_log import TrialLog
from harness.trials import FILE_NAME, Run, read_run
from tests.harness import synthetic


@pytest.fixture(scope="module")
def finished() -> Run:
    return synthetic.run(synthetic.plan("smoke"))


class TestWriting:
    def test_each_trial_is_there_at_once(self, finished: Run, tmp_path: Path) -> None:
        with TrialLog.create(tmp_path / "run", finished.header) as log:
            for count, trial in enumerate(finished.trials, start=1):
                log.append(trial)
                assert read_run(tmp_path / "run").trials == finished.trials[:count]
        assert read_run(tmp_path / "run") == finished

    def test_an_existing_run_is_not_overwritten(self, finished: Run, tmp_path: Path) -> None:
        TrialLog.create(tmp_path, finished.header).close()
        with pytest.raises(UserError, match=r"exists already; go on with `bench run --resume"):
            TrialLog.create(tmp_path, finished.header)

    def test_a_folder_that_cannot_be_made(self, finished: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"cannot be written .Not a directory"):
            TrialLog.create(tmp_path / "file" / "run", finished.header)

    def test_a_full_disk(self, finished: Run) -> None:
        with Path("/dev/full").open("wb", buffering=0) as full:
            log = TrialLog(full, Run(finished.header, ()))
            with pytest.raises(UserError, match=r"No space left on device.* what finished is kept"):
                log.append(finished.trials[0])


class TestResuming:
    def test_goes_on_behind_the_last_whole_line(self, finished: Run, tmp_path: Path) -> None:
        folder = synthetic.write(tmp_path, finished)
        path = folder / FILE_NAME
        path.write_bytes(path.read_bytes()[:-40])
        with TrialLog.resume(folder) as log:
            assert log.run.trials == finished.trials[:-1]
            log.append(finished.trials[-1])
        assert read_run(folder) == finished

    def test_nothing_torn_nothing_cut(self, finished: Run, tmp_path: Path) -> None:
        folder = synthetic.write(tmp_path, finished)
        before = (folder / FILE_NAME).read_bytes()
        TrialLog.resume(folder).close()
        assert (folder / FILE_NAME).read_bytes() == before

    def test_no_run_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="holds no run that could go on"):
            TrialLog.resume(tmp_path)

    def test_another_writer(self, finished: Run, tmp_path: Path) -> None:
        folder = synthetic.write(tmp_path, finished)
        with TrialLog.resume(folder), pytest.raises(UserError, match="another bench run is writing"):
            TrialLog.resume(folder)
        TrialLog.resume(folder).close()
