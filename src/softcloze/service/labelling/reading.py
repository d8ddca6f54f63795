"""The first reading of the texts, in a thread of its own."""

import logging
import threading

from softcloze.errors import SoftclozeError
from softcloze.labelling import Labeller
from softcloze.service.observe import type_and_place

LOG = logging.getLogger("softcloze.service")


class Reading:
    """Computes the features of all texts while the server answers already.

    Attributes:
        texts: number of texts that are done.
        total: number of all texts.
        error: why the texts cannot be read; "" as long as nothing failed.
    """

    def __init__(self, labeller: Labeller):
        self._labeller = labeller
        self.texts, self.total, self.error = 0, len(labeller.texts), ""
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_done(self) -> bool:
        """Whether texts can be asked for."""
        return self._done.is_set()

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        self._thread = threading.Thread(target=self._read, name="softcloze-reading", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._labeller.read(self._report)
        except SoftclozeError as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001 - the page says it; there is nobody else in this thread
            self.error = type_and_place(error)
            LOG.error("the texts cannot be read: %s", self.error)
        else:
            self._done.set()

    def _report(self, texts: int, total: int) -> None:
        self.texts, self.total = texts, total
