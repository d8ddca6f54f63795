"""The pieces of a text that is being written, each as soon as it cannot change any more."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from softcloze.generation.stops import before_stop, certain_length

if TYPE_CHECKING:
    from softcloze.generation.writer import Writer

_BYTE = re.compile("<0x[0-9A-F]{2}>")  # a token of one byte, as tokenizers of SentencePiece name it


class TextPieces:
    """Decodes the tokens of one text as they come, in time that is proportional to their number.

    The pieces together are the text of `Writer.text` up to a stop string. Whole characters alone are decoded, in a
    window that begins one piece earlier, so that the decoder has the context of each token.

    Source:
        The window of two offsets is that of text-generation-inference and vLLM.
    """

    def __init__(self, writer: "Writer"):
        """Decode what this writer writes; with several beams, of which any may win, nothing before the end."""
        self._writer = writer
        self._has_beams = writer.options.get("num_beams", 1) > 1
        self._stops = writer.all_stops
        self._seen = self._settled = 0  # tokens that came, and those after which a window may end
        self._first = self._next = 0  # the tokens at which the window and its undecoded part begin
        self._known = ""  # the text of the window that is decoded
        self._waiting = ""  # decoded characters that may become a stop string, or space in front of the text
        self._space = writer.space
        self._has_ended = False
        self._sent = 0

    def add(self, ids: Sequence[int]) -> str:
        """Take all new ids so far; return what is certain by now, which may be empty."""
        if self._has_beams or self._has_ended:
            return ""
        for at in range(self._seen, len(ids)):
            if ids[at] in self._writer.end_ids:
                self._has_ended = True
                break
            # the bytes of a run decode together, whatever tokens without text are among them
            if self._writer.decode(ids[at : at + 1]) and not self._is_byte(ids[at]):
                self._settled = at + 1
        self._seen = max(self._seen, len(ids))
        return self._certain(self._decoded(ids))

    def rest(self, text: str) -> str:
        """The part of the whole text that no piece has yet."""
        return text[self._sent :]

    def _decoded(self, ids: Sequence[int]) -> str:
        """The whole characters that the settled tokens add to those before."""
        if self._settled <= self._next:
            return ""
        window = self._writer.decode(ids[self._first : self._settled])
        whole = window.rstrip("\ufffd")  # of an unfinished character
        added, self._known = whole[len(self._known) :], whole
        if whole == window and added:
            self._first, self._next = self._next, self._settled
            self._known = self._writer.decode(ids[self._first : self._next])
        return added

    def _certain(self, added: str) -> str:
        """The certain part of the decoded characters: those that wait, and those that are added."""
        waiting = self._waiting + added
        if self._space and self._space.startswith(waiting) and waiting != self._space:
            self._waiting = waiting
            return ""
        waiting, self._space = waiting.removeprefix(self._space), ""
        before = before_stop(waiting, self._stops)
        self._has_ended |= before != waiting
        certain = before if before != waiting else waiting[: certain_length(waiting, self._stops)]
        self._waiting = waiting[len(certain) :]
        self._sent += len(certain)
        return certain

    def _is_byte(self, token: int) -> bool:
        return _BYTE.fullmatch(self._writer.backbone.prompt_tokenizer.token(token)) is not None
