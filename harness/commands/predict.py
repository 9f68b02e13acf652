"""`bench predict`: what a load that nobody measured will cost, from the costs of a run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Final

import click

from harness import words
from harness.commands import completing
from harness.commands.explained import ExplainedCommand
from harness.errors import UserError
from harness.measured import Measured
from harness.prediction.check import check_cpu
from harness.prediction.grid import grid_to_json
from harness.prediction.predictor import Prediction, Predictor, prediction_to_json, predictors
from harness.prediction.workload import Workload
from harness.statistics import Interval
from harness.trials import read_run

_OF_WORKLOAD: Final = (
    "rate",
    "requests_per_connection",
    "rtt_ms",
    "slow_share",
    "clients",
    "cores",
    "resumed",
)


@click.command(
    cls=ExplainedCommand,
    examples=[
        ("bench predict results/RUN --deployment flask-threaded --rate 500", "connections stay open"),
        ("bench predict results/RUN --deployment flask-threaded --rate 500 --requests-per-connection 10", "or do not"),
        ("bench predict results/RUN --grid > grid.json", "everything in RUN, over a grid of loads"),
    ],
    statuses={0: "predicted, also where the answer is: beyond capacity"},
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path), shell_complete=completing.run_folders)
@click.option(
    "--deployment", metavar="NAME", shell_complete=completing.measured_deployments, help="One that DIR has measured."
)
@click.option("--rate", type=float, metavar="X", help="Requests a second, at random moments.")
@click.option(
    "--requests-per-connection", type=int, metavar="K", help="Then it is closed.  [default: connections stay open]"
)
@click.option("--rtt-ms", type=float, default=0.0, show_default=True, help="Round trip between client and server.")
@click.option(
    "--slow-share",
    type=float,
    default=0.0,
    show_default=True,
    help="Of the requests, 0 to 1, that wait in the device for a tenth of a second.",
)
@click.option("--clients", type=int, metavar="N", help="Each with one request at a time.  [default: enough]")
@click.option("--cores", type=int, metavar="C", help="Of the server.  [default: as few as are under 80 % busy]")
@click.option("--resumed", is_flag=True, help="New connections resume a TLS session.")
@click.option("--grid", is_flag=True, help="Print predictions over a grid of loads as JSON: of NAME, or of all in DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print the prediction as JSON; times in microseconds.")
@click.pass_context
def predict(
    context: click.Context,
    *,
    folder: Path,
    deployment: str | None,
    rate: float | None,
    requests_per_connection: int | None,
    rtt_ms: float,
    slow_share: float,
    clients: int | None,
    cores: int | None,
    resumed: bool,
    grid: bool,
    as_json: bool,
) -> None:
    """Predict what a load takes: CPU time, processors and latency.

    From the costs in DIR, a run's folder; `bench run costs` (about 20 minutes) measures all that it takes. Nothing is
    measured now.
    """
    if grid:
        given = [name for name in _OF_WORKLOAD if context.get_parameter_source(name) is not _DEFAULT]
        if given:
            raise click.UsageError(f"--grid has loads of its own; leave --{given[0].replace('_', '-')} out")
        measured = Measured(read_run(folder))
        click.echo(json.dumps(grid_to_json(_predictors(measured, deployment, folder))))
        return
    if deployment is None or rate is None:
        raise click.UsageError(f"--{'deployment' if deployment is None else 'rate'} is missing")
    workload = Workload(
        rate_per_s=rate,
        requests_per_connection=requests_per_connection,
        rtt_ms=rtt_ms,
        slow_share=slow_share,
        clients=clients,
        cores=cores,
        resumed=resumed,
    )
    measured = Measured(read_run(folder))
    prediction = Predictor.of(measured, deployment, source=str(folder)).predict(workload, source=str(folder))
    if as_json:
        click.echo(json.dumps(prediction_to_json(prediction), indent=2, allow_nan=False))
    else:
        _show(prediction, measured)


_DEFAULT: Final = click.core.ParameterSource.DEFAULT


def _predictors(measured: Measured, deployment: str | None, folder: Path) -> list[Predictor]:
    if deployment is not None:
        return [Predictor.of(measured, deployment, source=str(folder))]
    found = list(predictors(measured).values())
    if not found:
        raise UserError(
            f"{folder} has no deployment of which requests on open and on new connections were measured",
            hint="`bench run costs` measures them",
        )
    return found


def _show(prediction: Prediction, measured: Measured) -> None:
    click.echo(_asked(prediction))
    click.echo()
    click.echo(f"server CPU a request   {words.microseconds_between(prediction.cpu_us)}")
    click.echo(f"processors busy        {_cores(prediction.cores_needed)}")
    on = words.count(prediction.cores, "processor")
    if prediction.mean_us is None or prediction.p50_us is None or prediction.p99_us is None:
        click.echo(f"latency on {on}: none, this is beyond capacity: {prediction.beyond}")
    else:
        click.echo(f"latency on {on}")
        for name, interval in (
            ("mean", prediction.mean_us),
            ("half under", prediction.p50_us),
            ("99 % under", prediction.p99_us),
        ):
            click.echo(f"  {name:21}{_latency(interval)}")
    click.echo()
    for note in _notes(prediction, measured):
        click.echo(note)


def _asked(prediction: Prediction) -> str:
    workload = prediction.workload
    per_connection = workload.requests_per_connection
    said = [
        f"{workload.rate_per_s:,g} requests a second",
        "connections stay open" if per_connection is None else f"{per_connection:,} a connection",
        f"round trip {workload.rtt_ms:g} ms",
    ]
    if workload.slow_share:
        said.append(f"{100 * workload.slow_share:g} % wait 100 ms in the device")
    if workload.clients is not None:
        said.append("1 client" if workload.clients == 1 else f"{workload.clients:,} clients")
    return f"{prediction.contender.deployment}: {', '.join(said)}"


def _latency(interval: Interval) -> str:
    estimate = words.microseconds(interval.estimate, 3)
    if not math.isfinite(interval.high):
        return f"{estimate}, perhaps without bound: the costs' interval reaches beyond capacity or is not known"
    return f"{estimate} ({words.microseconds_range(interval.low, interval.high, 3)})"


def _cores(interval: Interval) -> str:
    said = words.significant(interval.estimate, 3)
    if not interval.is_finite:
        return f"{said}, no interval"
    return f"{said} ({words.significant(interval.low, 3)} {words.DASH} {words.significant(interval.high, 3)})"


def _notes(prediction: Prediction, measured: Measured) -> list[str]:
    workload = prediction.workload
    blocks = words.count(prediction.cpu_us.n, "block")
    notes = [f"Intervals: 95 %, of the costs in {blocks}; how far the model itself is off is not in them."]
    if workload.new_share:
        trips = prediction.setup_round_trips
        resumed = ", resumed" if workload.resumed else ""
        notes.append(
            f"A new connection takes {trips} round trips before its request: TCP and TLS {prediction.version}{resumed}."
        )
    if prediction.is_least and not prediction.beyond:
        notes.append(
            "Latency is the least that it can be: what an answer takes beside the server's CPU was not measured."
        )
    checks = [one for one in check_cpu(measured) if one.contender == prediction.contender]
    if checks:
        worst = max(checks, key=lambda one: abs(one.error.estimate))
        held = f"Held against trials with {words.listed([f'{one.requests_per_connection:,}' for one in checks])}"
        off = f"{100 * abs(worst.error.estimate):.1f} % at most"
        notes.append(f"{held} requests a connection, which were not used here, the CPU time was off by {off}.")
    return notes
