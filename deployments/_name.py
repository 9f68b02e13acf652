"""The name of a deployment, parsed and printed here and nowhere else.

name    = app "-" server [ "-" variant ] [ "@" proxy ]
app     = "flask" / "quart"
server  = word                      ; mod_wsgi has an underscore: a hyphen ends the server
variant = word *( "-" word )        ; gthread-unix
proxy   = word
word    = lower-case letter, then lower-case letters, digits and underscores
"""

import re
from dataclasses import dataclass
from typing import Final

from deployments._errors import DeploymentError

_WORD: Final = r"[a-z][a-z0-9_]*"
_NAME: Final = re.compile(
    rf"(?P<app>flask|quart)-(?P<server>{_WORD})(?:-(?P<variant>{_WORD}(?:-{_WORD})*))?(?:@(?P<proxy>{_WORD}))?"
)


@dataclass(frozen=True, slots=True)
class DeploymentName:
    """Which application, on which server, in which variant, behind which proxy."""

    app: str
    server: str
    variant: str | None = None
    proxy: str | None = None

    @classmethod
    def parse(cls, text: str) -> "DeploymentName":
        """Read a name. That it is well formed does not mean that such a deployment exists.

        Raises DeploymentError for anything that no deployment could be called.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise DeploymentError(
                f"{text!r} is not the name of a deployment (flask- or quart-, a server, perhaps a variant "
                "and @proxy); `bench list` shows all"
            )
        return cls(match["app"], match["server"], match["variant"], match["proxy"])

    def __str__(self) -> str:
        variant = "" if self.variant is None else f"-{self.variant}"
        proxy = "" if self.proxy is None else f"@{self.proxy}"
        return f"{self.app}-{self.server}{variant}{proxy}"
