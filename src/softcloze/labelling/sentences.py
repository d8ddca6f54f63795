"""Sentences about a labelling, for terminal and page."""

from collections.abc import Mapping, Sequence

from softcloze.formatting import counted, one_line, percent
from softcloze.labelling.estimate import CurvePoint, Estimate, Forecast
from softcloze.verbalizer import Label

BIASED = "Biased estimate"
UNEVEN = 4  # times as many texts in the largest label as in the smallest, from which on it is said


def estimate_sentence(estimate: Estimate | None) -> str:
    """An estimate with its interval, and what it is from.

    >>> estimate_sentence(Estimate(0.71, 0.6, 0.81, 0.9, 32, "random", 0))
    'Balanced accuracy about 71% (60% to 81% with probability 90%), by cross-validation on 32 random texts.'
    >>> estimate_sentence(Estimate(0.71, 0.6, 0.81, 0.9, 32, "chosen", 0)).split(",")[0]
    'Biased estimate: balanced accuracy about 71% (60% to 81%)'
    """
    if estimate is None:
        return "There is no estimate yet: it takes texts of two labels."
    value, low, high = (percent(share, 0) for share in (estimate.balanced_accuracy, estimate.low, estimate.high))
    if estimate.is_biased:
        sentence = (
            f"{BIASED}: balanced accuracy about {value} ({low} to {high}), by cross-validation on "
            f"{counted(estimate.texts, 'text')} that are no random sample. The truth may well be outside the interval; "
            "held-out texts give an estimate without bias."
        )
    else:
        texts = counted(estimate.texts, f"{'held-out' if estimate.of == 'held out' else 'random'} text")
        how = f"on {texts}" if estimate.of == "held out" else f"by cross-validation on {texts}"
        chance = percent(estimate.level, 0)
        sentence = f"Balanced accuracy about {value} ({low} to {high} with probability {chance}), {how}."
    if estimate.missing:
        sentence += f" {counted(estimate.missing, 'label')} without a text in it, so that the interval is wider."
    if estimate.single:
        sentence += (
            f" {counted(estimate.single, 'label')} with a single text, which is judged without another of its label: "
            "the truth may be higher."
        )
    return sentence


def standing(estimate: Estimate) -> str:
    """An estimate in a few words.

    >>> standing(Estimate(0.71, 0.6, 0.81, 0.9, 32, "random", 0))
    'balanced accuracy 71% (60% to 81%)'
    >>> standing(Estimate(0.71, 0.6, 0.81, 0.9, 32, "chosen", 0))
    'balanced accuracy 71% (60% to 81%, biased)'
    """
    value, low, high = (percent(share, 0) for share in (estimate.balanced_accuracy, estimate.low, estimate.high))
    return f"balanced accuracy {value} ({low} to {high}{', biased' if estimate.is_biased else ''})"


def curve_sentence(curve: Sequence[CurvePoint], *, is_biased: bool) -> str:
    """The learning curve; empty without points.

    >>> curve_sentence([CurvePoint(8, 0.6, 0.05), CurvePoint(16, 0.66, 0.04)], is_biased=True)
    'So far: 60% with 8, 66% with 16 labelled texts (biased as well).'
    """
    points = ", ".join(f"{percent(point.balanced_accuracy, 0)} with {point.texts}" for point in curve)
    return f"So far: {points} labelled texts{' (biased as well)' if is_biased else ''}." if points else ""


def forecast_sentence(forecast: Forecast | None) -> str:
    """Say how much more labelled texts are expected to add; empty without a forecast.

    >>> forecast_sentence(Forecast(10, 0.012, 0.001, 0.03))
    '10 more labelled texts are expected to add 1.2 points (0.1 to 3.0).'
    """
    if forecast is None:
        return ""
    gain, low, high = (f"{100 * share:.1f}" for share in (forecast.gain, forecast.low, forecast.high))
    return f"{forecast.more} more labelled texts are expected to add {gain} points ({low} to {high})."


def balance_sentence(predicted: Mapping[Label, int]) -> str:
    """Say that some labels are predicted far more often than others; empty if none are.

    >>> balance_sentence({"a": 90, "b": 10, "c": 0})
    'The predictions are uneven: a 90%, b 10%; none is c.'
    >>> balance_sentence({"a": 60, "b": 40})
    ''
    """
    total = sum(predicted.values())
    if not total or max(predicted.values()) < UNEVEN * max(min(predicted.values()), 1):
        return ""
    shares = ", ".join(
        f"{one_line(label)} {percent(count / total, 0)}"
        for label, count in sorted(predicted.items(), key=lambda item: -item[1])
        if count
    )
    absent = [one_line(label) for label, count in predicted.items() if not count]
    return f"The predictions are uneven: {shares}{'; none is ' if absent else ''}{', '.join(absent)}."
