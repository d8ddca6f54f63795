"""Frozen models in memory, which copies share."""

from typing import Self


class SharedByCopies:
    """A frozen model: clones of scikit-learn, copies and deep copies are the model itself."""

    def __sklearn_clone__(self) -> Self:
        """The model itself."""
        return self

    def __copy__(self) -> Self:
        """As `__sklearn_clone__`."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """As `__sklearn_clone__`."""
        return self
