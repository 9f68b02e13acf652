"""`bench completion`: the script that lets a shell complete commands, options, deployments, plans and runs.

The scripts are click's. Bash's is ours in one thing: bash splits what is typed at `@`, `=` and `:`, and a deployment
behind a proxy is called `flask-waitress@nginx`.
"""

from __future__ import annotations

import os
from typing import ClassVar, Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from harness.commands.explained import ExplainedCommand

_PROGRAM: Final = "bench"
_VARIABLE: Final = "_BENCH_COMPLETE"  # click's rule: the program's name in capitals
SHELLS: Final = ("bash", "zsh", "fish")

_INSTALLING: Final = {
    "bash": """\
# Completion of `bench` in bash (4.4 or newer). For this shell alone:
#   eval "$(bench completion bash)"
# For every shell: write it to a file once, and have your ~/.bashrc read that.
#   bench completion bash > ~/.bench-completion.bash
#   echo '. ~/.bench-completion.bash' >> ~/.bashrc
""",
    "zsh": """\
#compdef bench
# Completion of `bench` in zsh. For this shell alone, where compinit has run:
#   eval "$(bench completion zsh)"
# For every shell: write it to a file once, and have your ~/.zshrc read that, after its compinit.
#   bench completion zsh > ~/.bench-completion.zsh
#   echo '. ~/.bench-completion.zsh' >> ~/.zshrc
""",
    "fish": """\
# Completion of `bench` in fish. For every shell, also this one:
#   bench completion fish > ~/.config/fish/completions/bench.fish
""",
}

_BASH: Final = """\
%(complete_func)s() {
    local IFS=$'\\n' kind value
    COMPREPLY=()
    while IFS=',' read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="$2" %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class WholeLineBash(BashComplete):
    """Takes words from the line as it is typed, and answers with what bash puts in the place of its own last word."""

    source_template: ClassVar[str] = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is typed, and that."""
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)
        begins_anew = not words or line[-1:].isspace()
        return (words[1:], "") if begins_anew else (words[1:-1], words[-1])

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Complete, and cut off what bash takes for words before the one that it replaces."""
        found = super().get_completions(args, incomplete)
        kept = os.environ.get("COMP_WORD", incomplete)
        option, equals, value = incomplete.partition("=")
        typed = value if equals and option.startswith("--") else incomplete  # click answers with the value alone
        prefix = typed.removesuffix(kept) if typed.endswith(kept) else ""
        for item in found:
            if item.type == "plain":
                item.value = item.value.removeprefix(prefix)
        return found


def install() -> None:
    """Let click answer bash by `WholeLineBash`."""
    add_completion_class(WholeLineBash, "bash")


@click.command(
    cls=ExplainedCommand,
    examples=[
        ('eval "$(bench completion bash)"', "for this shell"),
        ("bench completion fish > ~/.config/fish/completions/bench.fish", "for every shell"),
    ],
    statuses={0: "printed"},
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, *, shell: str) -> None:
    """Print the script with which a shell completes commands, options, deployments, plans and runs.

    Its first lines say how to install it.
    """
    made = get_completion_class(shell)
    if made is None:
        raise LookupError(f"click completes nothing in {shell}")
    script = made(context.find_root().command, {}, _PROGRAM, _VARIABLE).source()
    click.echo(_INSTALLING[shell] + script.removeprefix(f"#compdef {_PROGRAM}\n"), nl=False)
