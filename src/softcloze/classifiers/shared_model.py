"""Estimators whose copies share the model in memory."""

from copy import copy, deepcopy
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator

from softcloze.classifiers.state import by_name


class SharedModelMixin(BaseEstimator):
    """An estimator whose clones share its model in memory instead of copying it.

    Attributes:
        shared: names of the parameters that are shared: the model, and what `clone` would strip of what it has learnt.
        derived: attributes that are computed again when they are needed, of which copies and pickles have none.
    """

    shared: ClassVar[tuple[str, ...]] = ("model",)
    derived: ClassVar[tuple[str, ...]] = ()

    def __sklearn_clone__(self) -> Self:
        """A clone with the same model."""
        bare = copy(self)
        for name in self.shared:
            setattr(bare, name, "")
        clone: Self = super(SharedModelMixin, bare).__sklearn_clone__()
        for name in self.shared:
            setattr(clone, name, getattr(self, name))
        return clone

    def __copy__(self) -> Self:
        """A shallow copy that does not call `__getstate__`."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """A copy that shares the model, as a clone does, and owns what it has learnt."""
        memo |= {id(value): value for value in (getattr(self, name) for name in self.shared)}
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        kept = {name: value for name, value in vars(self).items() if name not in self.derived}
        other.__dict__.update(deepcopy(kept, memo))
        return other

    def __getstate__(self) -> dict[str, Any]:
        """State for a pickle, with the model by its name."""
        state = {name: value for name, value in super().__getstate__().items() if name not in self.derived}
        return state | ({"model": by_name(state["model"])} if "model" in state else {})
