"""Several runs side by side: before and after, this machine and that.

    folders -> sides -> changes (each run held against the first) -> sections -> page, text, Markdown; or JSON

What is chosen, and what it costs, is what each run's own report says. Whether two runs may be compared at all, and by
how much they differ, is `harness.comparing`'s to say, as for `bench compare`: its conditions, its Welch intervals, its
yardstick, its correction. Where they may not, the figures stand beside each other and no ratio is made of them.
"""

from harness.report.side_by_side.changes import SideBySide, put_side_by_side
from harness.report.side_by_side.page import render

__all__ = ["SideBySide", "put_side_by_side", "render"]
