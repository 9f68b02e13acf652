"""How a command explains itself: one sentence, examples to copy, then usage, options and exit statuses.

Who asks for help mostly wants the line to type, so it comes before the grammar.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

# What every command's exit status may be; docs/commands.md has them all in one table.
DONE: Final = 0
AGAINST: Final = 1  # done, and the answer is no: not fit, off, worse; or a server that ended by itself
BAD_INPUT: Final = 2
NOT_COMPARABLE: Final = 3
MISTAKE: Final = 70  # EX_SOFTWARE: a traceback. Python's own status for it is 1, which would say "worse"
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
READER_GONE: Final = 141  # 128 + SIGPIPE: `bench list | head -1`
TERMINATED: Final = 143  # 128 + SIGTERM

# Of those that measure for minutes.
KEPT_WHEN_STOPPED: Final[Mapping[int, str]] = {
    INTERRUPTED: "Ctrl-C; what finished is kept",
    TERMINATED: "SIGTERM; what finished is kept",
}
_BAD_INPUT_SAID: Final = "bad input, one line on standard error"
_INTERRUPTED_SAID: Final = "Ctrl-C"


class ExplainedCommand(click.Command):
    """A command whose help begins with its sentence and examples.

    examples: lines to type, each with what it is for. statuses: what its exit statuses mean beside bad input and
    Ctrl-C, which all commands share. ends_by_interrupt: Ctrl-C is how it is meant to end, and no status of its own.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - handed on to click as it comes
        examples: Sequence[tuple[str, str]],
        statuses: Mapping[int, str],
        ends_by_interrupt: bool = False,
        **kwargs: Any,  # noqa: ANN401 - as above
    ) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        shared = {BAD_INPUT: _BAD_INPUT_SAID} | ({} if ends_by_interrupt else {INTERRUPTED: _INTERRUPTED_SAID})
        self.statuses = {**shared, **statuses}

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sentence, the examples, and then what click writes."""
        sentence, _, rest = inspect.cleandoc(self.help or "").partition("\n\n")
        formatter.write_text(sentence)
        write_examples(formatter, self.examples)
        formatter.write_paragraph()
        self.format_usage(ctx, formatter)
        if rest:
            formatter.write_paragraph()
            formatter.write_text(rest)
        self.format_options(ctx, formatter)
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), said) for status, said in sorted(self.statuses.items())])


def write_examples(formatter: click.HelpFormatter, examples: Sequence[tuple[str, str]]) -> None:
    """Write lines to type, never wrapped; what each is for stands beside them, or below where that is too long."""
    widest = max(len(line) for line, _ in examples)
    with formatter.section("Examples"):
        margin = " " * formatter.current_indent
        beside = [f"{margin}{line:{widest}}  {purpose}\n" for line, purpose in examples]
        if max(map(len, beside)) > formatter.width + 1:
            beside = [f"{margin}{line}\n{margin}    {purpose}\n" for line, purpose in examples]
        formatter.write("".join(beside))
