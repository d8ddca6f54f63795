"""The gate in front of all routes: authorization, origins, encodings, and headers of every answer."""

import base64
import binascii
import secrets
from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from softcloze.service.answers import failure

OPEN_ROUTES = ("/health/live", "/health/ready")
PAGES = ("/", "/write")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """ASGI middleware that turns requests away before a route sees them.

    - Without the token: 401. It comes as `Authorization: Bearer TOKEN`, or as the password of Basic authorization,
      for which browsers ask.
    - A request that changes state or costs work, from a page of another origin: 403.
    - A compressed body: 415.
    - A body that says that it is too large: 413. Another middleware counts the bytes of those that do not say.
    - More work than the service takes on: 429 or 503, before the body is read, so that refusing stays cheap. The forms
      of the pages say so on the page.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        origins: Collection[str],
        max_body_bytes: int,
        refuse: Callable[[str], Response | None],
    ):
        """Take the settings, and a function that answers in place of routes that need the model, or returns None."""
        self._app, self._origins, self._max_body_bytes, self._refuse = app, origins, max_body_bytes, refuse
        self._token = token.encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        answer: Response
        if scope["path"] not in OPEN_ROUTES and not self._is_authorized(headers):
            challenge = {"WWW-Authenticate": 'Basic realm="softcloze", charset="UTF-8"'}
            answer = failure(401, "unauthorized", "the token of this service is missing or wrong", headers=challenge)
        elif scope["method"] == "POST" and not self._is_own_page(headers):
            answer = failure(403, "foreign_origin", "pages of other origins may not call this service")
        elif headers.get("content-encoding", "identity").strip().lower() != "identity":
            answer = failure(415, "compressed", "send the body without Content-Encoding")
        elif _declared_length(headers) > self._max_body_bytes:
            answer = failure(413, "too_large", "the body is too large")
        elif (
            scope["method"] == "POST"
            and scope["path"] not in PAGES
            and (refused := self._refuse(scope["path"])) is not None
        ):
            answer = refused
        else:
            await self._app(scope, receive, send_guarded)
            return
        await answer(scope, receive, send_guarded)

    def _is_authorized(self, headers: Headers) -> bool:
        """Return True if the request has the token, or none is needed."""
        if self._token is None:
            return True
        kind, _, value = headers.get("authorization", "").partition(" ")
        given = value.strip().encode("latin-1")  # as it was sent
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif kind.lower() != "bearer":
            return False
        return secrets.compare_digest(given, self._token)

    def _is_own_page(self, headers: Headers) -> bool:
        """Return True if no browser says that a page of another origin made the request."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        return origin in self._origins or origin.partition("://")[2] == headers.get("host")


def _declared_length(headers: Headers) -> int:
    """The length that a body says to have; 0 without one, or where it is no number, which the server turns away."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) <= 20 else 0
