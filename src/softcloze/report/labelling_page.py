"""The HTML page of a labelling."""

from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from markupsafe import Markup

from softcloze.display import Column, Styled, Table, as_html, html_environment
from softcloze.formatting import counted, one_line, percent, quoted_list
from softcloze.labelling import CurvePoint, Doubt, Estimate, LabelledText, Labeller, Predictions
from softcloze.labelling.sentences import balance_sentence, estimate_sentence, forecast_sentence
from softcloze.report.html import Plot, write_page
from softcloze.verbalizer import Label

DOUBTS = 20  # doubtful texts on the page
NEAR = 3  # similar texts beside each
EXCERPT = 300  # characters of a text


def write_labelling_report(
    labeller: Labeller,
    path: str | Path,
    *,
    source: str = "",
    predictions: Predictions | None = None,
    problem: str | None = None,
    earlier: str | None = None,
) -> Path:
    """Write how far a labelling is as one HTML file without scripts or references to other files.

    Args:
        labeller: the labelling.
        path: the file, written atomically; missing folders are created.
        source: name of the file of the texts.
        predictions: of the other texts; None without a classifier.
        problem: why there is no classifier; None if there is one.
        earlier: which results of an earlier call are still beside the page; None without any.

    Returns:
        The path.

    Raises:
        ParameterError: `path` is not a path.
        FileError: the file cannot be written.
    """
    return write_page(path, lambda: labelling_page(labeller, source, predictions, problem, earlier), has_plots=False)


def labelling_page(
    labeller: Labeller,
    source: str,
    predictions: Predictions | None,
    problem: str | None,
    earlier: str | None = None,
) -> str:
    """Render the page; text from outside is escaped, and invisible characters are made visible.

    The learning curve is drawn if matplotlib is installed, and is a table in any case.
    """
    labelled, counts = labeller.labelled(), labeller.counts()
    facts = {
        **({"file": source} if source else {}),
        "texts": f"{len(labeller.texts):,}",
        "labelled": f"{len(labelled):,}",
        "labels": f"{len(counts):,}: {quoted_list(counts)}",
    }
    if people := sorted({answer.name for answer in labelled if answer.name}):
        facts["people"] = quoted_list(people)
    predicted = _predicted(predictions, counts)
    verdicts, curve, doubts, estimate = list[str](), list[CurvePoint](), list[Doubt](), None
    if not labeller.multi_label:
        estimate, curve, doubts = labeller.estimate(), labeller.learning_curve(), labeller.doubts()
        verdicts += [estimate_sentence(estimate), forecast_sentence(labeller.forecast())]
        suspicious = sum(doubt.margin < 0 for doubt in doubts)
        if suspicious:
            verdicts.append(
                f"The classifier would give {suspicious:,} of the {len(doubts):,} labelled texts another label; those "
                "of which it is surest are in the list of doubtful labels."
            )
    if predictions is not None:
        verdicts.append(balance_sentence(predicted))
    if problem is not None:
        verdicts.append(f"There is no classifier yet: {one_line(problem)}.")
    if earlier is not None:
        verdicts.append(f"{one_line(earlier[:1].upper() + earlier[1:])}.")
    disputes = labeller.disputes()
    if disputes:
        verdicts.append(f"On {counted(len(disputes), 'text')} two people do not agree.")
    is_biased = estimate is not None and estimate.is_biased
    tables = {
        "disputes": _disputes(labeller, disputes[:DOUBTS]),
        "counts": _counts(counts, predicted if predictions is not None else None),
        "curve": _curve(curve, is_biased=is_biased),
        "doubts": _doubts(labeller, doubts[:DOUBTS]),
    }
    return (
        html_environment()
        .get_template("report/labelling_page.html")
        .render(
            facts=facts,
            verdicts=[verdict for verdict in verdicts if verdict],
            plots=_plots(curve, estimate),
            **{name: Markup(as_html([table])) if table else "" for name, table in tables.items()},  # escapes all text
        )
    )


def _predicted(predictions: Predictions | None, counts: dict[Label, int]) -> dict[Label, int]:
    """Number of texts that are predicted to have each label."""
    found: Counter[Label] = Counter()
    for given in predictions.labels if predictions is not None else ():
        found.update(given if isinstance(given, tuple) else [given])
    return {label: found[label] for label in counts}


def _counts(counts: dict[Label, int], predicted: dict[Label, int] | None) -> Table:
    columns = [
        Column("label", [*map(str, counts)]),
        Column("labelled", [f"{count:,}" for count in counts.values()], is_number=True),
    ]
    if predicted is not None:
        total = max(sum(predicted.values()), 1)
        columns += [
            Column("predicted", [f"{count:,}" for count in predicted.values()], is_number=True),
            Column("share", [percent(count / total) for count in predicted.values()], is_number=True),
        ]
    return Table(columns)


def _disputes(labeller: Labeller, texts: Sequence[LabelledText]) -> Table | None:
    """The texts on which two people do not agree, with both answers."""
    others = [(text, text.other) for text in texts if text.other is not None]
    if not others:
        return None

    def answer(labels: Sequence[Label], name: str) -> str:
        return f"{', '.join(map(str, labels)) or 'no label'}{f' ({name})' if name else ''}"

    return Table(
        [
            Column("text", [_excerpt(labeller, text.index) for text, _ in others]),
            Column("answer that counts", [answer(text.labels, text.name) for text, _ in others]),
            Column("answer before", [answer(other.labels, other.name) for _, other in others]),
        ]
    )


def _curve(curve: Sequence[CurvePoint], *, is_biased: bool) -> Table | None:
    if not curve:
        return None
    accuracy = f"balanced accuracy{' (biased)' if is_biased else ''}"
    return Table(
        [
            Column("labelled texts", [f"{point.texts:,}" for point in curve], is_number=True),
            Column(accuracy, [percent(point.balanced_accuracy) for point in curve], is_number=True),
            Column("standard deviation", [percent(point.sd) for point in curve], is_number=True),
        ]
    )


def _doubts(labeller: Labeller, doubts: Sequence[Doubt]) -> Table | None:
    if not doubts:
        return None
    return Table(
        [
            Column("text", [_excerpt(labeller, doubt.index) for doubt in doubts]),
            Column("label", [Styled(doubt.label, "bold") for doubt in doubts]),
            Column("suggested", [f"{doubt.suggested}" for doubt in doubts]),
            Column("probability", [percent(doubt.probabilities[doubt.suggested], 0) for doubt in doubts], True),
            Column(
                "most similar texts",
                [
                    [
                        (Styled(f"{near.label}: ", "bold"), _excerpt(labeller, near.index))
                        for near in doubt.neighbours[:NEAR]
                    ]
                    for doubt in doubts
                ],
            ),
        ]
    )


def _excerpt(labeller: Labeller, index: int) -> str:
    """The start of a text, on one line."""
    text = labeller.texts[index]
    whole = one_line(text if isinstance(text, str) else " | ".join(map(str, text.values())))
    return whole if len(whole) <= EXCERPT else whole[: EXCERPT - 1].rstrip() + "…"


def _plots(curve: Sequence[CurvePoint], estimate: Estimate | None) -> list[Plot]:
    if len(curve) < 2 or find_spec("matplotlib") is None:
        return []
    from softcloze.report.plots import accuracy_by_texts
    from softcloze.report.svg import quiet_style

    title = "Learning curve"
    note = "Balanced accuracy by cross-validation with fewer labelled texts; bars are one standard deviation."
    if estimate is not None:
        note += f" The band is the interval of the {'biased ' if estimate.is_biased else ''}estimate."
        if estimate.is_biased:
            title += " (biased)"
    interval = (estimate.low, estimate.high) if estimate is not None else None
    with quiet_style():
        points = [(point.texts, point.balanced_accuracy, point.sd) for point in curve]
        return [Plot(title, note, accuracy_by_texts("learning-curve", title, points, interval))]
