"""Scores of label words from encoded prompts, a backbone and soft vectors."""

from softcloze.scoring.answers import AnswerPlan
from softcloze.scoring.families import plan_choices, plan_rules, plan_words
from softcloze.scoring.jobs import KnownPrefix
from softcloze.scoring.plan import States
from softcloze.scoring.scorer import Scorer
from softcloze.scoring.shared_prefix import Member, compute_features, compute_together, score_together
from softcloze.scoring.vocabulary_scores import log_probabilities

__all__ = [
    "AnswerPlan",
    "KnownPrefix",
    "Member",
    "Scorer",
    "States",
    "compute_features",
    "compute_together",
    "log_probabilities",
    "plan_choices",
    "plan_rules",
    "plan_words",
    "score_together",
]
