"""The common part of both clients: their settings."""

from typing import ClassVar

from softcloze.client.connection import Connection


class ServiceClient:
    """Base of `Client` and `AsyncClient`, which declare the calls.

    Attributes:
        url: of the service.
    """

    _http_kind: ClassVar[str]  # the class of httpx2 that sends requests

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 60.0,
        tries: int = 10,
        max_wait: float = 120.0,
        max_rows: int = 64,
        max_body_bytes: int = 256 * 1024,
    ):
        """Make a client; nothing is sent yet.

        Args:
            url: of the service, as in "http://127.0.0.1:8000", with the path if its routes have one.
            token: of the service; no message repeats it.
            timeout: seconds that connecting, and each wait for bytes, may take.
            tries: number of times that a request is sent in all while it is turned away.
            max_wait: seconds of all pauses between them.
            max_rows: of a request; lists are divided.
            max_body_bytes: of a request; lists are divided, and a larger row has an error.

        Raises:
            ParameterError: a value is outside its range, or httpx2 is missing.
        """
        self._connection = Connection(
            url,
            token,
            timeout=timeout,
            tries=tries,
            max_wait=max_wait,
            max_rows=max_rows,
            max_body_bytes=max_body_bytes,
        )
        self._http = self._connection.make_client(self._http_kind)
        self.url = self._connection.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"
