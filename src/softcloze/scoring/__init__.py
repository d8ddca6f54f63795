"""Encoded prompts, a backbone and soft vectors in; scores of label words out."""

from softcloze.scoring.rules import plan_rules
from softcloze.scoring.scorer import Scorer

__all__ = ["Scorer", "plan_rules"]
