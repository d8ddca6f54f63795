"""The root of every error that softcloze raises on purpose."""


class SoftclozeError(Exception):
    """Something the caller can mend. Every subclass is also a builtin or scikit-learn kind of error."""
