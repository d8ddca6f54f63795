"""How far a result hangs on the wording: every hard prompt of the library for a task, side by side."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from softcloze.backbone import Backbone
from softcloze.classifiers import PromptClassifier
from softcloze.errors import ParameterError
from softcloze.experiments.comparison import Comparison
from softcloze.experiments.methods import Method
from softcloze.experiments.protocol import Shots
from softcloze.experiments.results import Summary
from softcloze.library import list_templates, load_template
from softcloze.verbalizer import AnyVerbalizer, Label, Words


@dataclass(frozen=True, slots=True)
class VariantSpread:
    """The accuracies of wordings that differ in nothing else.

    Attributes:
        wording_of: what they are wordings of; see `Method`.
        shots: training rows per class that they had.
        count: how many came to an end.
        worst: that with the lowest accuracy.
        median: accuracy in the middle.
        best: that with the highest accuracy.
    """

    wording_of: str
    shots: Shots
    count: int
    worst: Summary
    median: float
    best: Summary


def wordings(
    model: str | Backbone,
    task: str,
    language: str,
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer | None = None,
    *,
    calibration: str | None = None,
) -> tuple[Method, ...]:
    """A hard prompt for each template of the library with a single field, without soft slots and demonstrations.

    Args:
        model: as for `PromptClassifier`.
        task: of the templates, such as "sentiment".
        language: of their words, such as "en" or "zh".
        verbalizer: label words for all of them; None for those that each template names.
        calibration: as for `PromptClassifier`, with all of them.

    Raises:
        ParameterError: the library has no such template; names the tasks and languages that it has.

    >>> [method.name for method in wordings("starter:gemma3-270m", "spam", "zh", calibration="batch")]
    ['spam/zh, batch']
    >>> len(wordings("starter:gemma3-270m", "sentiment", "zh"))
    3
    """
    cards = [card for card in map(load_template, list_templates()) if card.kind == "hard" and len(card.fields) == 1]
    chosen = [card for card in cards if (card.task, card.language) == (task, language)]
    if not chosen:
        there = ", ".join(sorted({f"{card.task}/{card.language}" for card in cards}))
        raise ParameterError(f"the library has no hard prompts with one field for {task}/{language}; it has {there}")
    ending = "" if calibration is None else f", {calibration}"
    return tuple(
        Method(
            name=card.name + ending,
            classifier=PromptClassifier(
                model,
                card.template,
                verbalizer if verbalizer is not None else card.verbalizer,
                calibration=calibration,
            ),
            description=card.description,
            wording_of=f"{task}/{language}{ending}",
        )
        for card in chosen
    )


def spread_over_variants(comparison: Comparison) -> tuple[VariantSpread, ...]:
    """How far apart the wordings of one thing are, for each with two or more that came to an end.

    >>> from softcloze.experiments.protocol import Protocol
    >>> from softcloze.experiments.runner import compare
    >>> found = compare(wordings("starter:bert-tiny", "sentiment", "en"), "movie-reviews", Protocol(test_rows=40))
    >>> (spread,) = spread_over_variants(found)
    >>> spread.count, spread.worst.accuracy.mean <= spread.median <= spread.best.accuracy.mean
    (3, True)
    """
    group = {card.name: card.wording_of for card in comparison.methods if card.wording_of is not None}
    found: dict[tuple[str, Shots], list[Summary]] = defaultdict(list)
    for summary in comparison.summary():
        if summary.method in group:
            found[group[summary.method], summary.shots].append(summary)
    return tuple(_spread(*key, summaries) for key, summaries in found.items() if len(summaries) > 1)


def _spread(wording_of: str, shots: Shots, summaries: list[Summary]) -> VariantSpread:
    ranked = sorted(summaries, key=lambda summary: summary.accuracy.mean)
    middle = median(summary.accuracy.mean for summary in ranked)
    return VariantSpread(wording_of, shots, len(ranked), ranked[0], middle, ranked[-1])
