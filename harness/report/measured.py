"""`harness.measured` by its former name."""

from harness.measured import *  # noqa: F403 - for what still imports it from here
