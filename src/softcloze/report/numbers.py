"""Numbers for people: each kind of quantity is written in one way throughout a report."""

MINUS = "\N{MINUS SIGN}"
ABSENT = "–"
NONE = "none"  # how many training rows a method sees that learns nothing


def percent(share: float) -> str:
    """A share of one.

    >>> percent(0.84251)
    '84.3%'
    """
    return f"{100 * share:.1f}%"


def points(difference: float) -> str:
    """A difference of shares, in percentage points, with its sign.

    >>> points(0.0314), points(-0.0314), points(0.0001)
    ('+3.1', '−3.1', '0.0')
    """
    number = f"{100 * difference:z.1f}"
    sign = MINUS if number.startswith("-") else "+" if float(number) else ""
    return sign + number.removeprefix("-")


def mean_sd(mean: float, sd: float | None, *, scale: float = 1, digits: int = 3) -> str:
    """A mean with its standard deviation, if there are several runs.

    >>> mean_sd(0.84251, 0.0213, scale=100, digits=1), mean_sd(0.5, None)
    ('84.3 ± 2.1', '0.500')
    """
    spread = "" if sd is None else f" ± {scale * sd:.{digits}f}"
    return f"{scale * mean:.{digits}f}{spread}"


def p_number(p: float) -> str:
    """A p-value, for tables.

    >>> p_number(0.0312), p_number(0.00002), p_number(1.0)
    ('0.031', '<0.001', '1')
    """
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def p_value(p: float) -> str:
    """A p-value with its relation, for sentences.

    >>> p_value(0.0312), p_value(0.00002)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p_number(p)}"


def count(number: float) -> str:
    """Whole things.

    >>> count(7680)
    '7,680'
    """
    return f"{number:,.0f}"


def quantity(number: float) -> str:
    """Seconds or rows a second, to about three digits.

    >>> [quantity(number) for number in (0, 0.0123, 4.567, 45.67, 4567.8)]
    ['0', '0.012', '4.57', '45.7', '4,568']
    """
    if number == 0:
        return "0"
    digits = 3 if number < 1 else 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{digits}f}"


def seconds(duration: float) -> str:
    """How long something took.

    >>> seconds(0), seconds(4.567), seconds(150)
    ('0 s', '4.57 s', '150 s')
    """
    return f"{quantity(duration)} s"


def size(number: int | None) -> str:
    """Bytes, in powers of a thousand.

    >>> size(812), size(31_250), size(812_000_000), size(1_930_000_000), size(None)
    ('812 B', '31.2 kB', '812 MB', '1.93 GB', '–')
    """
    if number is None:
        return ABSENT
    amount, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.3g} {unit}"


def power_of_ten(exponent: int) -> str:
    """Ten to the power of something, as short as it gets.

    >>> [power_of_ten(exponent) for exponent in (-2, 0, 3, 4, 6, 9)]
    ['0.01', '1', '1k', '10k', '1M', '1G']
    """
    if exponent < 0:
        return f"{10.0**exponent:.{-exponent}f}"
    prefix = min(exponent // 3, 4)
    return f"{10 ** (exponent - 3 * prefix)}{('', 'k', 'M', 'G', 'T')[prefix]}"


def shots_name(shots: float | int | str) -> str:
    """How many training rows there were: a number per class, a share of all, or all of them.

    >>> shots_name(16), shots_name(0), shots_name(0.1), shots_name("all")
    ('16', 'none', '10%', 'all')
    """
    if isinstance(shots, float):
        return f"{100 * shots:g}%"
    return NONE if shots == 0 else str(shots)


def shots_phrase(shots: float | int | str) -> str:
    """The same, as part of a sentence.

    >>> shots_phrase(16), shots_phrase(1), shots_phrase(0), shots_phrase(0.1), shots_phrase("all")
    ('with 16 rows per class', 'with 1 row per class', 'without training rows', 'with 10% of the rows', 'with all rows')
    """
    if isinstance(shots, str):
        return f"with {shots} rows"
    if isinstance(shots, float):
        return f"with {shots_name(shots)} of the rows"
    return "without training rows" if shots == 0 else f"with {shots} row{'s' * (shots != 1)} per class"


def sentence(phrase: str) -> str:
    """With a capital at the beginning.

    >>> sentence("with all rows")
    'With all rows'
    """
    return phrase[0].upper() + phrase[1:]
