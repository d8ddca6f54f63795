"""Formats of numbers in a report: one for each kind of quantity."""

from softcloze.formatting import shots_name

MINUS = "\N{MINUS SIGN}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign.

    >>> points(0.0314), points(-0.0314), points(0.0001)
    ('+3.1', '−3.1', '0.0')
    """
    number = f"{100 * difference:z.1f}"
    sign = MINUS if number.startswith("-") else "+" if float(number) else ""
    return sign + number.removeprefix("-")


def p_number(p: float) -> str:
    """A p-value in a table.

    >>> p_number(0.0312), p_number(0.00002), p_number(1.0)
    ('0.031', '<0.001', '1')
    """
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def p_value(p: float) -> str:
    """A p-value in a sentence.

    >>> p_value(0.0312), p_value(0.00002)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p_number(p)}"


def count(number: float) -> str:
    """A whole number.

    >>> count(7680)
    '7,680'
    """
    return f"{number:,.0f}"


def power_of_ten(exponent: int) -> str:
    """A power of ten in its shortest form.

    >>> [power_of_ten(exponent) for exponent in (-2, 0, 3, 4, 6, 9)]
    ['0.01', '1', '1k', '10k', '1M', '1G']
    """
    if exponent < 0:
        return f"{10.0**exponent:.{-exponent}f}"
    prefix = min(exponent // 3, 4)
    return f"{10 ** (exponent - 3 * prefix)}{('', 'k', 'M', 'G', 'T')[prefix]}"


def shots_phrase(shots: float | int | str) -> str:
    """The number of training examples as part of a sentence.

    >>> shots_phrase(16), shots_phrase(1), shots_phrase(0)
    ('with 16 examples per class', 'with 1 example per class', 'without training examples')
    >>> shots_phrase(0.1), shots_phrase("all")
    ('with 10% of the examples', 'with all examples')
    """
    if isinstance(shots, str):
        return f"with {shots} examples"
    if isinstance(shots, float):
        return f"with {shots_name(shots)} of the examples"
    return "without training examples" if shots == 0 else f"with {shots} example{'s' * (shots != 1)} per class"


def sentence(phrase: str) -> str:
    """The phrase with a capital first letter.

    >>> sentence("with all examples")
    'With all examples'
    """
    return phrase[0].upper() + phrase[1:]
