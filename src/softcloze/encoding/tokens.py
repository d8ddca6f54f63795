"""Tokens as text that people can read."""

import re
from collections.abc import Iterable, Iterator

from tokenizers.pre_tokenizers import ByteLevel

from softcloze.formatting import one_line

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # what SentencePiece falls back on for characters it does not have


def detokenize(tokens: Iterable[str], *, byte_level: bool) -> Iterator[tuple[str, int]]:
    r"""Tokens as text, where a tokenizer spells bytes, and how many tokens each piece of text stands for.

    The tokens of one character come out as one piece. White space of byte-level tokens is shown as it is, but a space
    as ␣; all other tokens stay as their tokenizer spells them.

    Args:
        tokens: as their tokenizer spells them.
        byte_level: whether it spells all of them in bytes, as GPT-2's does: "å¥½" for 好.

    >>> list(detokenize(["Ġgood", "å¥½", "å¾", "Ī", "Ċ"], byte_level=True))
    [('␣good', 1), ('好', 1), ('很', 2), ('\n', 1)]
    >>> list(detokenize(["▁good", "<0xE5>", "<0xA5>", "<0xBD>", "##ing"], byte_level=False))
    [('▁good', 1), ('好', 3), ('##ing', 1)]
    """
    begun, count = b"", 0
    for token in tokens:
        found = bytes_of(token, byte_level=byte_level)
        if found is None:
            if count:
                yield _text(begun), count
                begun, count = b"", 0
            yield token, 1
            continue
        begun += found
        count += 1
        if not _is_broken_off(begun):
            yield _text(begun), count
            begun, count = b"", 0
    if count:
        yield _text(begun), count


def bytes_of(token: str, *, byte_level: bool) -> bytes | None:
    r"""The bytes that a token spells; None if it spells text.

    >>> bytes_of("å¥½", byte_level=True), bytes_of("<0xE5>", byte_level=False), bytes_of("good", byte_level=False)
    (b'\xe5\xa5\xbd', b'\xe5', None)
    """
    if byte_level:
        return bytes(_BYTES[c] for c in token) if all(c in _BYTES for c in token) else None
    match = _BYTE.fullmatch(token)
    return bytes.fromhex(match[1]) if match is not None else None


def _is_broken_off(begun: bytes) -> bool:
    """Whether the bytes end within a character."""
    try:
        begun.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


def _text(spelt: bytes) -> str:
    return spelt.decode(errors="replace").replace(" ", "␣")


def _byte_alphabet() -> dict[str, int]:
    """The byte that each letter of byte-level tokens stands for: its own where Latin-1 shows it, else one left over."""
    letters = sorted(ByteLevel.alphabet())
    own = {letter: ord(letter) for letter in letters if ord(letter) < 256}
    left_over = (byte for byte in range(256) if byte not in own.values())
    return own | dict(zip((letter for letter in letters if letter not in own), left_over, strict=True))


_BYTES = _byte_alphabet()
_LONE = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of bytes that are no text


def readable_token(token: str, *, byte_level: bool) -> str:
    r"""A token as text in one line; `softcloze.encoding.tokens` joins several, this one stands alone.

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


def _decode(spelt: bytes) -> str:
    """Bytes as text, those that are none as <0xE4>."""
    text = spelt.decode(errors="surrogateescape")
    return _LONE.sub(lambda lone: f"<0x{ord(lone[0]) - 0xDC00:02X}>", text)
