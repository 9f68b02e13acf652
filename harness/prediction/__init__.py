"""What a load that nobody measured will cost, from the costs of a run: `bench predict`.

    workload    what is asked: requests a connection, distance, slow requests, rate
    latency     how long answers take, from what they cost: queues, threads, round trips; pure
    waits       the distribution of the waits in those queues; pure
    predictor   the one predictor: from a run's cells to CPU time, processors and latency, with intervals
    grid        the same over a grid of workloads, for the report's page
    check       predictions beside trials that they were not made of

The cells and their sums are `harness.costs`, the round trips `harness.network.model`. Imported by the `bench` command
and by the report.
"""

from harness.prediction.check import CpuCheck, LatencyCheck, check_cpu, check_latency
from harness.prediction.grid import Axes, grid_to_json
from harness.prediction.predictor import Prediction, Predictor, how_to_measure, prediction_to_json, predictors
from harness.prediction.workload import Workload

__all__ = [
    "Axes",
    "CpuCheck",
    "LatencyCheck",
    "Prediction",
    "Predictor",
    "Workload",
    "check_cpu",
    "check_latency",
    "grid_to_json",
    "how_to_measure",
    "prediction_to_json",
    "predictors",
]
