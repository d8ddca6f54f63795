"""What fitted classifiers predict with, for those who score several of them together."""

from collections.abc import Sequence

from sklearn.exceptions import NotFittedError

from softcloze.backbone import Backbone
from softcloze.data import DataError
from softcloze.estimator import PromptClassifier
from softcloze.prompt import Prompt


def ready_prompts(classifiers: Sequence[PromptClassifier]) -> tuple[list[Prompt], Backbone]:
    """The prompts that classifiers of one backbone predict with.

    Raises:
        NotFittedError: a classifier needs `fit`, if only for its calibration.
        DataError: they have different backbones.
    """
    ready = [classifier._ready() for classifier in classifiers]
    for classifier, (prompt, backbone) in zip(classifiers, ready, strict=True):
        if classifier.calibration is not None and prompt.calibration is None:
            raise NotFittedError(f"calibration={classifier.calibration!r} is not learnt yet; call fit first")
        if backbone is not ready[0][1]:
            raise DataError(f"the classifiers have different backbones: {ready[0][1]!r} and {backbone!r}")
    return [prompt for prompt, _ in ready], ready[0][1]
