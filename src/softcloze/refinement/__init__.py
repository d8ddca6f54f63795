"""Which of hundreds of label words a model can use, and how much each counts: everything from their scores alone.

Scores are natural logarithms (nats), shape (texts, words), each row up to a constant: `among_words` takes it out.
`owners` tells for each word the number of its label; the first word of a label names it. Nothing here knows a model
or a template: `softcloze.refine_words` scores the words, and makes a `Verbalizer` of what is left of them.

Source:
    KPT: Hu et al., ACL 2022, arXiv:2108.02035.
"""

from softcloze.refinement.errors import RefinementError
from softcloze.refinement.selection import among_words, frequent, log_priors, relevance, relevant
from softcloze.refinement.weights import calibrated_weights, learn_weights

__all__ = [
    "RefinementError",
    "among_words",
    "calibrated_weights",
    "frequent",
    "learn_weights",
    "log_priors",
    "relevance",
    "relevant",
]
