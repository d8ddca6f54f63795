"""The end of a text: stop strings, which are cut off, and what may become one."""

from collections.abc import Sequence


def before_stop(text: str, stops: Sequence[str]) -> str:
    """The text before the first of some stop strings; all of it if it has none.

    >>> before_stop("one###two##", ["##", "###"])
    'one'
    """
    found_at = [at for stop in stops if (at := text.find(stop)) >= 0]
    return text[: min(found_at)] if found_at else text


def certain_length(text: str, stops: Sequence[str]) -> int:
    r"""Characters of an unfinished text that stay, however it continues.

    Not those that may be the start of a stop string, nor those of an unfinished character, which decodes to "\ufffd".

    >>> certain_length("one#", ["##"]), certain_length("one", ["##"]), certain_length("on\ufffd", [])
    (3, 3, 2)
    """
    text = text.rstrip("\ufffd")
    longest = max(map(len, stops), default=0)
    for length in range(min(longest - 1, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return len(text) - length
    return len(text)
