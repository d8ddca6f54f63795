"""Prompts: templates, label words and trained vectors that are saved, bound to a backbone and scored."""

from softcloze.prompt.bound import BoundPrompt, TrainedParts
from softcloze.prompt.prompt import CARD, Prompt
from softcloze.prompt.prompt_set import PromptSet

__all__ = ["CARD", "BoundPrompt", "Prompt", "PromptSet", "TrainedParts"]
