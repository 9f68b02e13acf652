"""The commands of `bench`, one module each; `harness.cli` finds them by name and imports only the one that is asked.

A module here reads options, calls what does the work, and prints. Anything that it may not decide alone is raised.
"""
