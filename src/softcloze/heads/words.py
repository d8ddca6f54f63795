"""Label scores by the model's own scores of label words."""

from torch import Tensor, nn

from softcloze.verbalizer import Verbalizer


class WordHead(nn.Module):
    """What a verbalizer makes of the scores of its words; it has nothing to train."""

    def __init__(self, verbalizer: Verbalizer):
        """Read the words of `verbalizer`."""
        super().__init__()
        self.verbalizer = verbalizer

    def label_scores(self, features: Tensor) -> Tensor:
        """Label log-scores, shape (batch, labels), of features that begin with the scores of the label words."""
        return self.verbalizer.label_scores(features[:, : len(self.verbalizer.all_words)])
