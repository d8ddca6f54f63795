"""Addresses, tokens and the HTTP library of the clients."""

import json
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from softcloze.client.exchange import Patience, Reply, Request
from softcloze.client.rows import Limits
from softcloze.errors import ParameterError, ServiceError
from softcloze.parameters import NOT_NEGATIVE, POSITIVE, Constraint, integer, validate_parameters

_ENVELOPE = 64  # bytes of a body around its rows
LARGEST_REPLY = 64 * 2**20  # bytes, after decompression
_IDLE = 2.0  # seconds that a connection is kept: the service closes it after five
_CONSTRAINTS: Mapping[str, Constraint] = {
    "timeout": POSITIVE,
    "tries": integer(at_least=1),
    "max_wait": NOT_NEGATIVE,
    "max_rows": integer(at_least=1),
    "max_body_bytes": integer(at_least=_ENVELOPE + 1),
}


class Connection:
    """The validated settings of a client, and the replies in place of exceptions of its HTTP library.

    Attributes:
        url: of the service, without a slash at the end.
        patience: with a service that turns requests away.
        limits: of a request.
    """

    def __init__(self, url: str, token: str | None, **settings: Any):  # noqa: ANN401 - validated here
        """Validate the settings of a client.

        Raises:
            ParameterError: a value is outside its range, or the HTTP library is missing.
        """
        validate_parameters(settings, _CONSTRAINTS)
        self._httpx = _import_httpx()
        self.url = self._validate_url(url)
        self._headers = {b"Accept": b"application/json"}
        self._secrets: tuple[bytes, ...] = ()
        if token is not None:
            sent = _validate_token(token)
            self._headers[b"Authorization"] = b"Bearer " + sent
            self._secrets = sent, json.dumps(token)[1:-1].encode()
        self._timeout = float(settings["timeout"])
        self.patience = Patience(int(settings["tries"]), float(settings["max_wait"]))
        self.limits = Limits(int(settings["max_rows"]), int(settings["max_body_bytes"]) - _ENVELOPE)

    def make_client(self, kind: str) -> Any:  # noqa: ANN401 - httpx2 may be missing
        """The HTTP client of a kind, "Client" or "AsyncClient"."""
        return getattr(self._httpx, kind)(
            headers=[*self._headers.items()],
            timeout=self._timeout,
            limits=self._httpx.Limits(keepalive_expiry=_IDLE),
            verify=self.url.startswith("https:"),  # certificates take 0.1 s to load, and http needs none
        )

    def arguments(self, request: Request) -> dict[str, Any]:
        """The arguments of `request` of the HTTP client."""
        arguments = {"method": "GET" if request.body is None else "POST", "url": self.url + request.path}
        if request.body is None:
            return arguments
        return {**arguments, "content": request.body, "headers": {"Content-Type": "application/json"}}

    def reply(self, response: Any, content: bytes) -> Reply:  # noqa: ANN401
        """The reply of a response; the token is removed from a failure that repeats it."""
        if len(content) > LARGEST_REPLY:
            problem = f"{self.url} replied with more than {LARGEST_REPLY >> 20} MiB; does the URL name a service?"
            return Reply(None, {}, b"", problem)
        for secret in self._secrets if response.status_code != 200 else ():
            content = content.replace(secret, b"[token]")
        return Reply(response.status_code, response.headers, content)

    def is_text(self, request: Request, response: Any) -> bool:  # noqa: ANN401
        """Return True for a response whose pieces are read one by one."""
        kind = response.headers.get("content-type", "").partition(";")[0]
        return request.streams and response.status_code == 200 and kind == "text/event-stream"

    @property
    def exception(self) -> type[Exception]:
        """The root of the exceptions of sending a request."""
        error: type[Exception] = self._httpx.HTTPError
        return error

    def failure(self, error: Exception) -> Reply:
        """The reply in place of one that did not come."""
        reason = f"{error}" or type(error).__name__
        dropped = False
        if isinstance(error, self._httpx.ConnectError | self._httpx.ConnectTimeout):
            problem = f"cannot connect to {self.url} ({reason}); does the service run there?"
        elif isinstance(error, self._httpx.TimeoutException):
            problem = f"{self.url} did not answer in {self._timeout:g} s; timeout= gives it longer"
        else:
            problem = f"the connection to {self.url} broke off ({reason}); the service may have been ended"
            dropped = isinstance(error, self._httpx.NetworkError | self._httpx.RemoteProtocolError)
        return Reply(None, {}, b"", problem, dropped)

    def _validate_url(self, url: object) -> str:
        """Return the URL of a service; raise ParameterError, without its value where that may hold a password."""
        expected = "it has to be the URL of a service, as in 'http://127.0.0.1:8000'"
        if not isinstance(url, str):
            raise ParameterError(f"url={url!r:.80}, but {expected}")
        try:
            self._httpx.URL(url)
            parsed = urlsplit(url)
            _ = parsed.port  # raises for one that is no number
        except (self._httpx.InvalidURL, ValueError) as error:
            raise ParameterError(f"url is not valid, and {expected}") from error
        if parsed.query or parsed.fragment or "@" in url:
            raise ParameterError(f"url has a user, a query or a fragment, but {expected}; give a secret as token=")
        if parsed.scheme not in ("http", "https") or not parsed.hostname:
            raise ParameterError(f"url={url!r:.80}, but {expected}")
        return f"{parsed.scheme}:{url.partition(':')[2]}".rstrip("/")


def closed() -> ServiceError:
    """The error of a request after `close`."""
    return ServiceError("the client is closed; make a new one")


def _validate_token(token: object) -> bytes:
    """Return a token as it is sent; raise ParameterError without its value."""
    if not isinstance(token, str) or not token or not token.isprintable() or token != token.strip():
        kind = "" if isinstance(token, str) else f", found {type(token).__name__}"
        raise ParameterError(f"token has to be text on one line, without spaces around it{kind}")
    return token.encode()


def _import_httpx() -> ModuleType:
    try:
        return import_module("httpx2")
    except ImportError as error:
        raise ParameterError(
            "softcloze.client needs httpx2, which is not installed: pip install 'softcloze[client]'"
        ) from error
