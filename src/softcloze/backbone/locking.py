"""One lock for each model, since a model's flags, hooks and weights change while it runs, and threads may share it."""

from threading import Lock, RLock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# kept beside the models: a lock in a model or a backbone could be neither copied nor pickled
_LOCKS: "WeakKeyDictionary[nn.Module, RLock]" = WeakKeyDictionary()
_GUARD = Lock()


def lock_of(model: "PreTrainedModel") -> RLock:
    """The lock of a model, the same for all models and wrappers that share its input embeddings.

    >>> from types import SimpleNamespace
    >>> embeddings = nn.Embedding(2, 3)
    >>> model, wrapper = (SimpleNamespace(get_input_embeddings=lambda: embeddings) for _ in range(2))
    >>> lock_of(model) is lock_of(wrapper)
    True
    """
    with _GUARD:
        return _LOCKS.setdefault(model.get_input_embeddings(), RLock())
