"""Encoded prompts, a backbone and soft vectors in; scores of label words out."""

from softcloze.scoring.plans import plan_rules
from softcloze.scoring.scorer import Scorer
from softcloze.scoring.vocabulary import log_probabilities

__all__ = ["Scorer", "log_probabilities", "plan_rules"]
