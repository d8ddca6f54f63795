"""Which of hundreds of label words a model can use, and how much each counts: everything from their scores alone.

Scores are natural logarithms (nats), shape (texts, words), each row up to a constant: `among_words` takes it out.
`owners` tells for each word the number of its label; the first word of a label names it. Nothing here knows a model
or a template: `softcloze.refine_words` scores the words, and makes a `Verbalizer` of what is left of them.

Source:
    KPT: Hu et al., ACL 2022, arXiv:2108.02035. Theirs are probabilities among all words of the vocabulary, ours among
    the label words; the two differ by one number for each text, which is how much of its probability falls on label
    words at all. Ours need no sum over the vocabulary, and exist where text follows the mask of a causal model. Other
    differences are told where they are.
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
