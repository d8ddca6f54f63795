"""Encoded prompts, a backbone and soft vectors in; scores of label words out."""

from softcloze.scoring.plans import plan_rules
from softcloze.scoring.scorer import Scorer
from softcloze.scoring.together import Member, score_together
from softcloze.scoring.vocabulary import log_probabilities

__all__ = ["Member", "Scorer", "log_probabilities", "plan_rules", "score_together"]
