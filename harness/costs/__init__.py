"""The costs: where each microsecond of a request's CPU goes, on one deployment after the other.

    sums         signed sums of cells, taken block by block: what every cost is
    cells        the cells of one contender that costs are made of, found by what they are
    parts        which cells measure which part, and what each part comes to
    waterfall    parts beside the measured whole, which other cells measure: what is left unexplained
    handshakes   a handshake by version, key and kind
    break_even   after how many requests on a connection its handshake hardly counts

Server CPU, user and system, of the server's whole process tree. Pure: trials go in (`harness.measured`), intervals come
out (`harness.statistics`); nothing is drawn or said here. Imported by the report and by the prediction.
"""

from harness.costs.break_even import NEGLIGIBLE, break_even
from harness.costs.cells import Cells, base_condition, without_digest, without_tls
from harness.costs.handshakes import HandshakeCost, handshake_costs
from harness.costs.parts import Costs, Part, costs, part_sums
from harness.costs.sums import Sum, Term, combine, connection_terms
from harness.costs.waterfall import Waterfall, Whole, waterfall

__all__ = [
    "NEGLIGIBLE",
    "Cells",
    "Costs",
    "HandshakeCost",
    "Part",
    "Sum",
    "Term",
    "Waterfall",
    "Whole",
    "base_condition",
    "break_even",
    "combine",
    "connection_terms",
    "costs",
    "handshake_costs",
    "part_sums",
    "waterfall",
    "without_digest",
    "without_tls",
]
