"""Sentences about a labelling, for terminal and page."""

from collections.abc import Mapping

from softcloze.formatting import counted, one_line, percent
from softcloze.labelling.estimate import Estimate, Forecast
from softcloze.verbalizer import Label

UNEVEN = 4  # times as many texts in the largest label as in the smallest, from which on it is said


def estimate_sentence(estimate: Estimate | None) -> str:
    """An estimate with its interval, and what it is from.

    >>> estimate_sentence(Estimate(0.71, 0.6, 0.81, 0.9, 32, "random", 0))
    'Balanced accuracy about 71% (60% to 81% with probability 90%), by cross-validation on 32 random texts.'
    """
    if estimate is None:
        return "There is no estimate yet: it takes texts of two labels."
    value, low, high = (percent(share, 0) for share in (estimate.balanced_accuracy, estimate.low, estimate.high))
    sentence = f"Balanced accuracy about {value} ({low} to {high} with probability {percent(estimate.level, 0)}), "
    match estimate.of:
        case "held out":
            sentence += f"on {counted(estimate.texts, 'held-out text')}."
        case "random":
            sentence += f"by cross-validation on {counted(estimate.texts, 'random text')}."
        case _:
            sentence += (
                f"by cross-validation on {counted(estimate.texts, 'text')} that are no random sample: it may be biased."
            )
    if estimate.missing:
        sentence += f" {counted(estimate.missing, 'label')} without a text in it, so that the interval is wider."
    if estimate.single:
        sentence += (
            f" {counted(estimate.single, 'label')} with a single text, which is judged without another of its label: "
            "the truth may be higher."
        )
    return sentence


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
