"""What a shell offers where a command wants a deployment, a plan or the folder of a run.

Asked at each press of TAB: looks at names and first lines, reads no trial, and offers nothing where something is wrong,
for there is no place for an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

import click
from click.shell_completion import CompletionItem

import deployments
from harness.outlines import RESULTS, outline, outlines
from harness.plan_files import built_in_plans

_Items: TypeAlias = list[CompletionItem[str]]

_FILE: Final = "file"  # click's word for: let the shell offer files
_FOLDER: Final = "dir"


def deployment_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Offer all deployments, each with half a line of what it is."""
    del context, parameter
    return [
        CompletionItem(name, help=deployments.find(name).summary)
        for name in deployments.names()
        if name.startswith(incomplete)
    ]


def measured_deployments(context: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Offer the deployments of the run whose folder was typed before; all where none was."""
    # Where an option still lacks its value, click has not told arguments apart.
    folder = context.params.get("folder") or next(iter(context.args), None)
    run = outline(Path(folder)) if folder else None
    if run is None:
        return deployment_names(context, parameter, incomplete)
    return [CompletionItem(name) for name in run.deployments if name.startswith(incomplete)]


def plans(context: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Offer the plans that come along; files where none of them begins so."""
    del context, parameter
    return _or_else(_FILE, incomplete, (name for name in built_in_plans() if name.startswith(incomplete)))


def run_folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> _Items:
    """Offer the runs in the folder that is typed so far, the latest first; folders where there are none.

    Nothing typed: those in results/.
    """
    del context, parameter
    parent = Path(incomplete.rpartition("/")[0] or ".") if incomplete else RESULTS
    names = [str(run.folder) for run in reversed(outlines(parent))]
    return _or_else(_FOLDER, incomplete, (name for name in names if name.startswith(incomplete.removeprefix("./"))))


def _or_else(kind: str, incomplete: str, values: Iterable[str]) -> _Items:
    found = [CompletionItem(value) for value in values]
    return found or [CompletionItem(incomplete, type=kind)]
