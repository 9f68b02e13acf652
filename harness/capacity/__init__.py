"""The search for capacity: the highest rate of an open load under which a server's latency keeps within a limit.

`search` decides, from the results so far alone, what is tried next; `conducting` has it tried on real servers. The
first knows neither servers nor files. `harness.commands` and the report may import both; neither imports them.
"""
