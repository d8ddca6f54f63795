"""A task of a training: what is trained, and on what."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from softcloze.encoding import EncodedPrompt
from softcloze.heads import Head
from softcloze.scoring import Scorer
from softcloze.soft import SoftVectors


@dataclass(frozen=True)
class TrainingTask:
    """Soft vectors and a head, and the examples that they are trained on.

    Attributes:
        soft: the vectors to train; None if the template has none. If none is trained, each example takes one forward
            pass in all.
        head: computes label scores from features; trained if it has parameters.
        scorer: computes features with the frozen backbone.
        prompts: the encoded training examples.
        targets: index of each example's label, or probabilities of the labels, shape (examples, labels); for
            `ThresholdHead` 1.0 for each label that an example has and 0.0 for others; for `AnswerHead` the number of
            tokens of each answer.
        weights: factor of each example's loss, with mean 1, shape (examples,), for `ThresholdHead` (examples, labels);
            None for 1.
        bias: nats that are subtracted from the score of each label, shape (labels,), as a calibration does in
            predictions; None for none.
        last_scores: label scores of each example at its last step, shape (labels,), by its index; filled by training.
    """

    soft: SoftVectors | None
    head: Head
    scorer: Scorer
    prompts: Sequence[EncodedPrompt]
    targets: Tensor
    weights: Tensor | None = None
    bias: Tensor | None = None
    last_scores: dict[int, Tensor] = field(default_factory=dict, init=False)

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """All trained parameters by name."""
        vectors = self.soft.trained if self.soft is not None else {}
        return vectors | {f"head/{name}": weight for name, weight in self.head.named_parameters()}

    @property
    def trains_vectors(self) -> bool:
        """True if a soft vector is trained."""
        return self.soft is not None and bool(self.soft.trained)

    @property
    def classes(self) -> list[int]:
        """Index of each example's label, of several the first or most probable one; 0 without labels."""
        if not self.head.predicts_labels:
            return [0] * len(self.targets)
        classes: list[int] = (self.targets if self.targets.dim() == 1 else self.targets.argmax(-1)).tolist()
        return classes

    def label_scores(self, features: Tensor) -> Tensor:
        """Label scores less the bias, shape (batch, labels), of features, shape (batch, features)."""
        scores = self.head.label_scores(features)
        return scores if self.bias is None else scores - self.bias

    def loss(self, scores: Tensor, rows: list[int]) -> Tensor:
        """Mean loss of the examples `rows`, weighted."""
        weights = self.weights[rows] if self.weights is not None else None
        return self.head.loss(scores, self.targets[rows], weights)

    def size(self, rows: list[int]) -> int:
        """Number of parts over which the loss of the examples `rows` is a mean."""
        return self.head.size(self.targets[rows])
