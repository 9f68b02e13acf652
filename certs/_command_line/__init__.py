"""The commands of `python -m certs`, a module each; `_frame` holds what all of them share.

A command reads its arguments, calls the rest of the package and puts what came of it into words; it decides nothing
about certificates. It prints nothing itself: its lines are returned, so that what fails half-way says one thing only.
"""
