"""Tokens and words, one at a time and in one line, as text that people can read."""

import re

from softcloze.encoding.spelling import bytes_of
from softcloze.template.drawing import visible

_LONE = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of bytes that are no text


def readable_token(token: str, *, byte_level: bool) -> str:
    r"""A token as text in one line; `softcloze.encoding.spelling` joins several, this one stands alone.

    Args:
        token: as its tokenizer spells it.
        byte_level: whether the tokenizer spells all tokens in bytes, as GPT-2's does: "å¥½" for 好.

    >>> [readable_token(token, byte_level=True) for token in ("Ġgood", "å¥½", "Ġä½", "Ċ")]
    ['␣good', '好', '␣<0xE4><0xBD>', '↵']
    >>> [readable_token(token, byte_level=False) for token in ("▁good", "<0xE4>", "<0x0A>", "##ing", "\x1b")]
    ['␣good', '<0xE4>', '↵', '##ing', '⟨U+001B⟩']
    """
    spelt = bytes_of(token, byte_level=byte_level)
    return one_line(token.replace("▁", " ") if spelt is None else _decode(spelt))


def one_line(value: object) -> str:
    r"""What cannot be seen made visible, line ends included.

    >>> one_line("very\ngood\u202e")
    'very↵good⟨U+202E⟩'
    """
    return visible(str(value)).replace("\n", "")


def _decode(spelt: bytes) -> str:
    """Bytes as text, those that are none as <0xE4>."""
    text = spelt.decode(errors="surrogateescape")
    return _LONE.sub(lambda lone: f"<0x{ord(lone[0]) - 0xDC00:02X}>", text)
