"""Label scores by the model's own scores of label words."""

from torch import Tensor, nn

from softcloze.verbalizer import AnyVerbalizer


class WordHead(nn.Module):
    """What a verbalizer makes of the scores of its words; it has nothing to train."""

    def __init__(self, verbalizer: AnyVerbalizer):
        """Read the words of `verbalizer`."""
        super().__init__()
        self.verbalizer = verbalizer

    def label_scores(self, features: Tensor) -> Tensor:
        """Label log-scores, shape (batch, labels), of features that begin with what the verbalizer takes."""
        return self.verbalizer.label_scores(features[:, : self.verbalizer.scored])
