"""Scores of label words from encoded prompts, a backbone and soft vectors."""

from softcloze.scoring.families import plan_choices, plan_rules, plan_words
from softcloze.scoring.plan import States
from softcloze.scoring.scorer import Scorer
from softcloze.scoring.shared_prefix import Member, compute_features, score_together
from softcloze.scoring.vocabulary_scores import log_probabilities

__all__ = [
    "Member",
    "Scorer",
    "States",
    "compute_features",
    "log_probabilities",
    "plan_choices",
    "plan_rules",
    "plan_words",
    "score_together",
]
