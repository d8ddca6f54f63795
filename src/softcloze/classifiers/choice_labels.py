"""Labels that are choices of each example, in an ensemble: their indices are the classes."""

from collections.abc import Mapping, Sequence

from softcloze.data import Example
from softcloze.errors import DataError
from softcloze.library import resolve_verbalizer
from softcloze.verbalizer import AnyVerbalizer, FieldVerbalizer, Label, Words


def shared_choices(
    verbalizers: Sequence[Mapping[Label, Words] | str | AnyVerbalizer | None],
) -> FieldVerbalizer | None:
    """The verbalizer of labels that are choices of each example; None for labels that all examples share.

    Args:
        verbalizers: of the members, as for `PromptClassifier`; None for a member without.

    Raises:
        DataError: members differ in the field of the choices, or in what stands for one.
    """
    resolved = [resolve_verbalizer(verbalizer) for verbalizer in verbalizers]
    choices = [verbalizer if isinstance(verbalizer, FieldVerbalizer) else None for verbalizer in resolved]
    first = choices[0]
    for index, other in enumerate(choices):
        if _labels_by(other) != _labels_by(first):
            shared = "labels that all examples share"
            raise DataError(
                f"member {index} has {other or shared}, and member 0 {first or shared}; members of an ensemble take "
                "choices from the same field, and have the same answers"
            )
    return first


def classes_of(choices: FieldVerbalizer | None, examples: Sequence[Example], labels: Sequence[Label]) -> list[Label]:
    """The classes of labelled examples: of choices their indices, else the labels.

    Raises:
        DataError: an example lacks the choice; names the row.
    """
    return [*choices.indices(examples, labels)] if choices is not None else [*labels]


def labels_of(choices: FieldVerbalizer | None, examples: Sequence[Example], classes: Sequence[Label]) -> list[Label]:
    """The labels of examples by their classes, the inverse of `classes_of`."""
    if choices is None:
        return [*classes]
    return [choices.answer(example, int(index)) for example, index in zip(examples, classes, strict=True)]


def _labels_by(choices: FieldVerbalizer | None) -> tuple[str, str] | None:
    """Field of the choices, and what stands for one."""
    return (choices.field, choices.answers) if choices is not None else None
