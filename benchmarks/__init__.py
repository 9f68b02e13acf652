"""Our own parts against their peers, in one run, interleaved and pinned: ratios, never bare times.

`make bench` runs them all (`python -m benchmarks`), a module alone runs as `python -m benchmarks.digest_check`. Each
prints its figures beside its goal. Benchmarks may import anything; nothing imports them.
"""
