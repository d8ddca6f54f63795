"""Detokenise: tokens as readable text."""

import re
from collections.abc import Iterable, Iterator

from tokenizers.pre_tokenizers import ByteLevel

from softcloze.formatting import one_line

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # SentencePiece's fallback for characters outside its vocabulary


def detokenize(tokens: Iterable[str], *, byte_level: bool) -> Iterator[tuple[str, int]]:
    r"""Decode byte tokens to text; yield each text with the number of its tokens.

    Tokens that share a character are joined. White space of byte-level tokens stays, except that a space becomes ␣.
    Other tokens stay as the tokenizer writes them.

    Args:
        tokens: tokens as the tokenizer writes them.
        byte_level: whether all tokens are bytes, as GPT-2's: "å¥½" for 好.

    >>> list(detokenize(["Ġgood", "å¥½", "å¾", "Ī", "Ċ"], byte_level=True))
    [('␣good', 1), ('好', 1), ('很', 2), ('\n', 1)]
    >>> list(detokenize(["▁good", "<0xE5>", "<0xA5>", "<0xBD>", "##ing"], byte_level=False))
    [('▁good', 1), ('好', 3), ('##ing', 1)]
    """
    pending, count = b"", 0
    for token in tokens:
        spelt = bytes_of(token, byte_level=byte_level)
        if spelt is None:
            if count:
                yield _text(pending), count
                pending, count = b"", 0
            yield token, 1
            continue
        pending += spelt
        count += 1
        if not _is_incomplete(pending):
            yield _text(pending), count
            pending, count = b"", 0
    if count:
        yield _text(pending), count


def bytes_of(token: str, *, byte_level: bool) -> bytes | None:
    r"""The bytes of a byte token; None for a token of text.

    >>> bytes_of("å¥½", byte_level=True), bytes_of("<0xE5>", byte_level=False), bytes_of("good", byte_level=False)
    (b'\xe5\xa5\xbd', b'\xe5', None)
    """
    if byte_level:
        return bytes(_BYTES[c] for c in token) if all(c in _BYTES for c in token) else None
    match = _BYTE.fullmatch(token)
    return bytes.fromhex(match[1]) if match is not None else None


def _is_incomplete(pending: bytes) -> bool:
    """Return whether the bytes end within a character."""
    try:
        pending.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


def _text(spelt: bytes) -> str:
    return spelt.decode(errors="replace").replace(" ", "␣")


def _byte_alphabet() -> dict[str, int]:
    """The byte of each letter of byte-level tokens: its Latin-1 code if printable, else one of the remaining bytes."""
    letters = sorted(ByteLevel.alphabet())
    latin = {letter: ord(letter) for letter in letters if ord(letter) < 256}
    remaining = (byte for byte in range(256) if byte not in latin.values())
    return latin | dict(zip((letter for letter in letters if letter not in latin), remaining, strict=True))


_BYTES = _byte_alphabet()
_LONE = re.compile("[\udc80-\udcff]")  # undecodable bytes under surrogateescape


def readable_token(token: str, *, byte_level: bool) -> str:
    r"""One token as a line of text; `detokenize` joins several.

    Args:
        token: the token as the tokenizer writes it.
        byte_level: as for `detokenize`.

    >>> [readable_token(token, byte_level=True) for token in ("Ġgood", "å¥½", "Ġä½", "Ċ")]
    ['␣good', '好', '␣<0xE4><0xBD>', '↵']
    >>> [readable_token(token, byte_level=False) for token in ("▁good", "<0xE4>", "<0x0A>", "##ing", "\x1b")]
    ['␣good', '<0xE4>', '↵', '##ing', '⟨U+001B⟩']
    """
    spelt = bytes_of(token, byte_level=byte_level)
    return one_line(token.replace("▁", " ") if spelt is None else _decode(spelt))


def _decode(spelt: bytes) -> str:
    """Decode bytes to text; undecodable bytes become <0xE4>."""
    text = spelt.decode(errors="surrogateescape")
    return _LONE.sub(lambda lone: f"<0x{ord(lone[0]) - 0xDC00:02X}>", text)
