"""Where the API begins, for who knows nothing but the host: an XRD document (RFC 8040 section 3.1, RFC 6415).

It is there without credentials: a client looks before it knows which path it would have to sign, and what it is told
is in every request that follows. `href` is a path, as in the RFC's own example, so that it holds behind any proxy.
"""

from typing import Final

from device_api.routes import RESTCONF_ROOT

HOST_META: Final = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">
  <Link rel="restconf" href="{RESTCONF_ROOT}"/>
</XRD>
""".encode("ascii")
