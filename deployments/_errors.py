"""The one error of this package."""

from collections.abc import Sequence


class DeploymentError(ValueError):
    """A deployment that cannot be served as asked; the message is one whole line: what, where, what to do.

    log_tail: the last lines that the server wrote, when it was started and failed; empty otherwise.
    """

    def __init__(self, message: str, *, log_tail: Sequence[str] = ()) -> None:
        super().__init__(" ".join(message.split()))
        self.log_tail = tuple(log_tail)
