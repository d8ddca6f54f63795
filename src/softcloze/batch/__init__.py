"""Batches of columns or rows scored with a saved prompt, in any process of any cluster."""

from softcloze.batch.scorer import BatchScorer

__all__ = ["BatchScorer"]
