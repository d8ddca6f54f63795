"""Prompt variants: all hard prompts of the library for a task, and how far their results are apart."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from softcloze.backbone import AnyModel
from softcloze.classifiers import PromptClassifier
from softcloze.errors import ParameterError
from softcloze.experiments.comparison import Comparison
from softcloze.experiments.methods import Method
from softcloze.experiments.protocol import Shots
from softcloze.experiments.results import Summary
from softcloze.library import list_templates, load_template
from softcloze.parameters import BOOLEAN, validate_parameters
from softcloze.verbalizer import AnyVerbalizer, Label, Words


@dataclass(frozen=True, slots=True)
class VariantSpread:
    """The spread in accuracy of methods that differ only in their prompt.

    Attributes:
        variant_of: name of the group; see `Method`.
        shots: training examples per class.
        count: number of variants with a finished run.
        worst: variant with the lowest accuracy.
        median: median accuracy.
        best: variant with the highest accuracy.
    """

    variant_of: str
    shots: Shots
    count: int
    worst: Summary
    median: float
    best: Summary


def prompt_variants(
    model: AnyModel,
    task: str,
    language: str,
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer | None = None,
    *,
    calibration: str | None = None,
    chat: bool = False,
) -> tuple[Method, ...]:
    """A hard prompt for each template of the library with one field and without soft slots or demonstrations.

    Args:
        model: as for `PromptClassifier`.
        task: of the templates, such as "sentiment".
        language: of the templates, such as "en" or "zh".
        verbalizer: label words for all prompts; None for those recommended by each template.
        calibration: of all prompts, as for `PromptClassifier`.
        chat: whether templates with chat turns are among them, for a model whose tokenizer has a chat template.

    Raises:
        ParameterError: the library has no such template; the message lists its tasks and languages; or `chat` is
            neither True nor False.

    >>> [method.name for method in prompt_variants("starter:gemma3-270m", "spam", "zh", calibration="batch")]
    ['spam/zh, batch']
    >>> len(prompt_variants("starter:gemma3-270m", "sentiment", "zh"))
    3
    """
    validate_parameters({"chat": chat}, {"chat": BOOLEAN})
    cards = [card for card in map(load_template, list_templates()) if card.kind == "hard" and len(card.fields) == 1]
    cards = [card for card in cards if chat or not card.template.turns]
    chosen = [card for card in cards if (card.task, card.language) == (task, language)]
    if not chosen:
        known = ", ".join(sorted({f"{card.task}/{card.language}" for card in cards}))
        raise ParameterError(f"the library has no hard prompts with one field for {task}/{language}; it has {known}")
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
            variant_of=f"{task}/{language}{ending}",
        )
        for card in chosen
    )


def spread_over_variants(comparison: Comparison) -> tuple[VariantSpread, ...]:
    """The spread of each group of prompt variants with two or more finished variants.

    >>> from softcloze.experiments import Protocol, compare
    >>> variants = prompt_variants("starter:bert-tiny", "sentiment", "en")
    >>> (spread,) = spread_over_variants(compare(variants, "movie-reviews", Protocol(test_rows=40)))
    >>> spread.count, spread.worst.accuracy.mean <= spread.median <= spread.best.accuracy.mean
    (3, True)
    """
    group = {card.name: card.variant_of for card in comparison.methods if card.variant_of is not None}
    groups: dict[tuple[str, Shots], list[Summary]] = defaultdict(list)
    for summary in comparison.summary():
        if summary.method in group:
            groups[group[summary.method], summary.shots].append(summary)
    return tuple(_spread(*key, summaries) for key, summaries in groups.items() if len(summaries) > 1)


def _spread(variant_of: str, shots: Shots, summaries: list[Summary]) -> VariantSpread:
    ranked = sorted(summaries, key=lambda summary: summary.accuracy.mean)
    middle = median(summary.accuracy.mean for summary in ranked)
    return VariantSpread(variant_of, shots, len(ranked), ranked[0], middle, ranked[-1])
