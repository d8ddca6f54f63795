"""What predictions cost: tokens that models compute for a text, and the time that it takes here."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from softcloze.automatic.budget import Budget
from softcloze.classifiers import ProbeClassifier, PromptClassifier, PromptEnsemble
from softcloze.classifiers.ensemble_members import Member, bound_members
from softcloze.data import Example
from softcloze.encoding import EncodedPrompt
from softcloze.prompt import BoundProbe
from softcloze.prompt.members import prompts_of
from softcloze.prompt.together import encode_for_prompts, scoring_members
from softcloze.scoring import Member as ScoringMember
from softcloze.scoring import Scorer
from softcloze.scoring.token_count import count_tokens

SAMPLE = 16  # examples that tell the tokens of a text
TIMED = 8  # of them, that are predicted to see how long it takes


class PredictionCost(NamedTuple):
    """The cost of predictions, on some of the examples of a fit.

    Attributes:
        tokens: that models compute for a text, in the mean.
        seconds: for 100 texts; None where the budget left no time to measure it.
    """

    tokens: float
    seconds: float | None


def tokens_of_prompts(scorer: Scorer, prompts: Sequence[EncodedPrompt]) -> float:
    """Tokens that the model computes for a prompt without soft vectors, in the mean."""
    return count_tokens([ScoringMember(scorer, prompts, None)]) / len(prompts)


def tokens_per_text(members: Sequence[Member], examples: Sequence[Example]) -> float:
    """Tokens that the models compute for a text, in the mean over the first examples.

    It does not depend on the machine. What prompts of the members share counts once, as it is computed once; tokens
    of a sentence encoder count as those of the model.

    Args:
        members: fitted classifiers on one backbone.
        examples: at least one.
    """
    sample, bound = examples[:SAMPLE], bound_members(members)
    prompts = prompts_of(bound)
    tokens = count_tokens(scoring_members([*zip(prompts, encode_for_prompts(prompts, sample), strict=True)]))
    for member in bound:
        if isinstance(member, BoundProbe):
            tokens += sum(member.encoder.count_tokens([encoded.text for encoded in member.encode(sample)]))
    return tokens / len(sample)


def measure_cost(
    classifier: PromptClassifier | ProbeClassifier | PromptEnsemble, examples: Sequence[Example], budget: Budget
) -> PredictionCost:
    """Count the tokens of the first examples, and time the predictions of some of them if the budget allows."""
    members = classifier.classifiers_ if isinstance(classifier, PromptEnsemble) else [classifier]
    timed, tokens = examples[:TIMED], tokens_per_text(members, examples)
    expected = budget.reading(tokens * len(timed))
    if not budget.allows(expected, step=expected):
        return PredictionCost(tokens, None)
    started = time.monotonic()
    classifier.predict(timed)
    return PredictionCost(tokens, 100 * (time.monotonic() - started) / len(timed))
