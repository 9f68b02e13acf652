"""A process of our own that is asked and answers in lines of JSON, and ends with whoever started it.

For what must not happen in this process: another OPENSSL_CONF, another processor, a clock that nobody disturbs. The
process reads its standard input line by line and ends when that ends; the last line of its standard error says why if
it ends by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Any, Self

from harness.errors import UserError


class ProcessFailedError(UserError):
    """A process that ended, or did not answer."""


class LineProcess:
    """A running `python -m MODULE`; leaving it as a context manager ends it."""

    def __init__(
        self, module: str, *, name: str, answer_limit_s: float, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it. name: what errors call it. environment: beyond ours."""
        self._name = name
        self._answer_limit_s = answer_limit_s
        with ExitStack() as opening:
            self._errors: IO[bytes] = opening.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C in the terminal is for us, who end it
            )
            opening.callback(self._end)
            self._exit = opening.pop_all()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def ask(self, question: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Send a line, an empty one for None, and return the answer. Raises ProcessFailedError."""
        answers = self._pipe(self._process.stdout)
        try:
            questions = self._pipe(self._process.stdin)
            questions.write((json.dumps(question).encode() if question is not None else b"") + b"\n")
            questions.flush()
        except BrokenPipeError as error:
            raise self._failed("ended") from error
        if not select.select([answers], [], [], self._answer_limit_s)[0]:
            raise self._failed(f"did not answer within {self._answer_limit_s:g} s")
        line = answers.readline()  # there is one answer to a question: nothing can wait in the buffer
        if not line:
            raise self._failed("ended")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        self._exit.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _failed(self, how: str) -> ProcessFailedError:
        """Make the error. The process ends: an answer that came late would be taken for that of the next question."""
        self._process.kill()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        reason = f": {last}" if last else ""
        return ProcessFailedError(f"{self._name} {how}{reason}")

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        if pipe is None:
            raise TypeError("started with pipes")
        return pipe

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # a question that was never read
                self._pipe(pipe).close()
