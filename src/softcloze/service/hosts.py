"""Names of the service that requests may have in their header Host."""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from softcloze.service.answers import failure

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^][:@/?#\\\s]+)(:\d*)?", re.ASCII)


class KnownHosts:
    """ASGI middleware that answers 400 where the header Host has no name of the service.

    So a page whose own name has been pointed at the service by DNS cannot call it. Unlike Starlette's
    `TrustedHostMiddleware`, the answer is JSON as all others, and no request is sent to another name.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]):
        """Take the names, without ports; `*.a.example` stands for all names below, and `*` for any."""
        self._app, self._hosts = app, [host.lower() for host in hosts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or "*" in self._hosts or self._is_known(Headers(scope=scope).get("host", "")):
            await self._app(scope, receive, send)
            return
        message = "the header Host has no name of this service; softcloze serve takes names by --allow-host"
        await failure(400, "unknown_host", message)(scope, receive, send)

    def _is_known(self, header: str) -> bool:
        if (parts := _HOST.fullmatch(header.lower())) is None:
            return False
        name = parts[1]
        return any(name == host or (host.startswith("*.") and name.endswith(host[1:])) for host in self._hosts)
