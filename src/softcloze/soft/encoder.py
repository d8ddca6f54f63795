"""Reparameterisation: input embeddings of a soft block as the output of a small network, while they are trained."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from softcloze.template import Via


class Encoder(nn.Module):
    """A residual network over the vectors of a block: start + network(start).

    The last layer starts from zero, so that the first forward pass is that of the start vectors. For "mlp" the network
    is three linear layers with ReLU between them, applied to each vector. For "lstm" it is a bidirectional LSTM of two
    layers over the vectors in order, and two linear layers with ReLU between them.

    Attributes:
        unit: the root mean square of input embeddings, by which the network's input and output are scaled.

    Source:
        P-tuning: Liu et al. 2021, arXiv:2103.10385, with the layers of PEFT's `PromptEncoder`. Residual as in
        Razdaibiedina et al., ACL Findings 2023, arXiv:2305.03937, without their layer norm, which would add a vector of
        unit length.
    """

    def __init__(self, via: Via, vector_width: int, width: int, unit: float, generator: torch.Generator):
        """Draw the weights of a network.

        Args:
            via: "mlp" or "lstm".
            vector_width: width of the vectors.
            width: of the hidden layers, of an LSTM in each direction.
            unit: the root mean square of input embeddings.
            generator: source of randomness, on the CPU.
        """
        super().__init__()
        self.unit = unit
        match via:
            case "mlp":
                self.lstm: nn.LSTM | None = None
                sizes: tuple[int, ...] = (vector_width, width, width, vector_width)
            case "lstm":
                self.lstm = nn.LSTM(
                    vector_width, width, num_layers=2, bidirectional=True, batch_first=True, device="meta"
                ).to_empty(device="cpu")
                sizes = (2 * width, 2 * width, vector_width)
        linear = [nn.Linear(*pair, device="meta").to_empty(device="cpu") for pair in pairwise(sizes)]
        modules: list[nn.Module] = []
        for layer in linear:
            modules += [layer, nn.ReLU()]
        self.layers = nn.Sequential(*modules[:-1])
        with torch.no_grad():
            if self.lstm is not None:
                _draw(self.lstm, width, generator)
            for layer in linear:
                _draw(layer, layer.in_features, generator)
            for weight in linear[-1].parameters():
                weight.zero_()

    def network(self, vectors: Tensor) -> Tensor:
        """The output of the network without the start, shape (count, width) as `vectors`."""
        states = vectors
        if self.lstm is not None:
            states = self.lstm(states[None])[0][0]
        output: Tensor = self.layers(states)
        return output

    def forward(self, start: Tensor) -> Tensor:
        """The vectors of the block, shape (count, width), from those that they start with."""
        return start + self.unit * self.network(start / self.unit)


def _draw(module: nn.Module, inputs: int, generator: torch.Generator) -> None:
    """Draw weights as torch does by default, from a generator."""
    bound = float(inputs) ** -0.5
    for weight in module.parameters():
        weight.uniform_(-bound, bound, generator=generator)
