"""The report: from the trials of a run to one self-contained HTML page, and to five sentences for a terminal.

    trials -> Measured -> findings (decisions, costs, handshakes, …) -> sections -> page

Each step is a pure function of frozen values; only `write_report` touches files. Nothing is drawn from nothing: what
was not measured is named where a reader would look for it. Reads runs through `harness.trials` and
`harness.handshakes.figures`, judges them with `harness.statistics`, and starts nothing. Imported by the `bench`
command.
"""

from harness.report.in_memory import finding as handshake_finding
from harness.report.page import write_report
from harness.report.summary import findings

__all__ = ["findings", "handshake_finding", "write_report"]
