"""Connections that have to deliver their requests in time."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_INCOMPLETE = 256  # connections whose request is not complete
GRACE = 1.0  # seconds that each of them has in any case: many clients may connect at once


def timed_protocol(seconds: float, max_incomplete: int = MAX_INCOMPLETE, grace: float = GRACE) -> type[H11Protocol]:
    """A protocol for `uvicorn.Config(http=...)` that closes connections whose requests do not arrive.

    uvicorn waits for ever for a request that is not complete. Here headers and body have to arrive within `seconds`
    after the connection was made, or after the first byte of a later request. Of more than `max_incomplete` connections
    without a complete request the oldest is closed if it has lasted `grace` seconds, so that slow clients do not keep
    others out.
    """
    incomplete: dict[H11Protocol, asyncio.TimerHandle] = {}  # the oldest first

    class TimedProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._expect_request()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
                self._expect_request()
            else:
                self._stop_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.conn.their_state is h11.IDLE:  # uvicorn's own timer closes what stays idle
                self._stop_timer()
            elif self.conn.their_state is h11.SEND_BODY:  # of a request that came with the one before
                self._expect_request()

        def _expect_request(self) -> None:
            if self in incomplete:
                return
            incomplete[self] = self.loop.call_later(seconds, self.transport.abort)
            oldest, timer = next(iter(incomplete.items()))
            lasted = self.loop.time() - (timer.when() - seconds)
            if len(incomplete) > max_incomplete and lasted >= grace:
                oldest.transport.abort()

        def _stop_timer(self) -> None:
            timer: Any = incomplete.pop(self, None)
            if timer is not None:
                timer.cancel()

    return TimedProtocol
