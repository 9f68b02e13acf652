"""A deployment to take home: all that its user installs, rendered from the templates that are measured.

`exported` makes the files, `write` puts them into a folder. What is served here only to be measured has no part in it:
no guard, no ready file, no folder that goes with the server. Nothing is started, and no key is copied.
"""

from deployments.exporting._export import Export, exported
from deployments.exporting._options import ExportOptions
from deployments.exporting._writing import write

__all__ = ["Export", "ExportOptions", "exported", "write"]
