"""Locust's event hooks, with types."""

from __future__ import annotations

from collections.abc import Callable

from locust.event import EventHook


def listen(hook: EventHook, listener: Callable[..., None]) -> None:
    """Call the listener, by keyword, whenever the hook is fired."""
    hook.add_listener(listener)  # type: ignore[no-untyped-call]  # Locust gives this one no types
