"""The report: from the trials of a run to one self-contained HTML page, and to five sentences for a terminal.

    trials -> Measured -> findings (decisions, costs, handshakes, …) -> sections -> page

Each step is a pure function of frozen values; only `page.write_report` and `delivering` touch files. Nothing is drawn
from nothing: what was not measured is named where a reader would look for it. Reads runs through `harness.trials` and
`harness.handshakes.figures`, judges them with `harness.statistics`, and starts nothing. Imported by the `bench`
command, and by the display of a run, which asks `decisions` alone who leads: so nothing is imported here, for plots
take a second.
"""
