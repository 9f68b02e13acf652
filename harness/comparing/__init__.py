"""Two runs of one plan, held against each other: before and after an upgrade, say.

    two runs -> comparable? -> figures by block -> yardstick -> shifts -> judgements -> exit status, table, JSON

Not about pairs within one run: those are paired block by block (`harness.comparisons`). Two runs share no block, so
their figures are compared unpaired (Welch), and what the machine did differently on the two days has to be taken off
first, as far as it is known (`yardstick`).

Every step is a pure function of frozen values, and nothing here starts anything or touches a file. Imported by the
`bench` command.
"""

from harness.comparing.compared import Compared, Status, compare

__all__ = ["Compared", "Status", "compare"]
