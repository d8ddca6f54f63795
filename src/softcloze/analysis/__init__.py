"""Explain decisions, analyse trained soft prompts, and measure generated texts."""

from softcloze.analysis.ablation import DeletedVector, Deletions, delete_vectors
from softcloze.analysis.evaluation import Score
from softcloze.analysis.explain import explain, explain_prompt, explain_row, likeliest_words
from softcloze.analysis.explanation import Explanation, LabelShare, TopWord, WordShare
from softcloze.analysis.field_effects import FieldEffect, FieldEffects, field_effects
from softcloze.analysis.hardening import Hardening, HardPrompt, harden
from softcloze.analysis.head_shares import HeadShares, head_shares
from softcloze.analysis.member_shares import MemberShare, MemberShares, member_shares
from softcloze.analysis.soft_slots import LayerLengths, SoftSlot, soft_slots
from softcloze.analysis.soft_vectors import SoftInspection, SoftVector, VocabularyWord, inspect_soft
from softcloze.analysis.text_metrics import TEXT_METRICS, MeasuredTexts, TextMetric, measure_texts
from softcloze.analysis.trajectory import Epoch, Trajectory, VectorLog, trajectory

__all__ = [
    "TEXT_METRICS",
    "DeletedVector",
    "Deletions",
    "Epoch",
    "Explanation",
    "FieldEffect",
    "FieldEffects",
    "HardPrompt",
    "Hardening",
    "HeadShares",
    "LabelShare",
    "LayerLengths",
    "MeasuredTexts",
    "MemberShare",
    "MemberShares",
    "Score",
    "SoftInspection",
    "SoftSlot",
    "SoftVector",
    "TextMetric",
    "TopWord",
    "Trajectory",
    "VectorLog",
    "VocabularyWord",
    "WordShare",
    "delete_vectors",
    "explain",
    "explain_prompt",
    "explain_row",
    "field_effects",
    "harden",
    "head_shares",
    "inspect_soft",
    "likeliest_words",
    "measure_texts",
    "member_shares",
    "soft_slots",
    "trajectory",
]
