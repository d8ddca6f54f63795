"""Encoded prompts, a backbone and soft vectors in; scores of label words out."""

from softcloze.scoring.families import plan_rules
from softcloze.scoring.scorer import Scorer
from softcloze.scoring.shared_prefix import Member, score_together
from softcloze.scoring.vocabulary_scores import log_probabilities

__all__ = ["Member", "Scorer", "log_probabilities", "plan_rules", "score_together"]
