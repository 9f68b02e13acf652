"""The bench's check of itself: it has to find what is known to be there, and nothing where there is nothing.

`evaluation` reads it out of any run that has servers for it (twins, and servers with a known addition) and is pure;
`stall` and `ceiling` measure what are no trials, for `bench calibrate`; `checks` judges all of it; `folder` keeps it.
Knows the trials and their statistics, and nothing of the report.
"""
