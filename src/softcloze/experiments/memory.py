"""How much memory a piece of work took."""

import threading
from types import TracebackType
from typing import Self

import psutil

INTERVAL = 0.05  # seconds between two looks


class PeakMemory:
    """The largest resident set of this process while the block runs.

    A thread looks every 50 ms, which works on every system; what comes and goes in between is missed.
    The number is that of the whole process: the model and everything else that was loaded before count.

    Attributes:
        peak: bytes.

    >>> with PeakMemory() as memory:
    ...     block = bytearray(1_000_000)
    >>> memory.peak > 1_000_000
    True
    """

    def __init__(self) -> None:
        self.peak = 0
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        self.peak = max(self.peak, self._process.memory_info().rss)
