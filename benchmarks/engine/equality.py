"""The shortcuts of the engine beside plain transformers: each sequence alone, without padding, caches or packing."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.engine.case import LABELS
from softcloze import Backbone, Verbalizer, load_backbone
from softcloze.backbone import SoftInputs, load_tokenizer
from softcloze.encoding import EncodedPrompt
from softcloze.errors import BackboneError
from softcloze.prompt import CompiledPrompt
from softcloze.soft import SoftVectors, initial_vectors, layer_rms
from softcloze.starters import load_data
from softcloze.template import Template

EXAMPLES = 6
FLOAT32_TOLERANCE = 1e-4  # nats, and of gradients the share of their norm
# The plain bfloat16 model is off by its rounding from the plain float32 one. A shortcut rounds as often in another
# order, so that its root mean square difference is of that size. Of six examples each, the ratio of two root mean
# squares of the same spread is above 4 in 0.2 % of draws, above 2 in 6 %: the quantile of F(6, 6) at the square.
ROUNDINGS = 4.0

ONE_TOKEN = ("bad", "good")
SEVERAL_TOKENS = ("not worth watching", "well worth watching twice")
INSTRUCTION = (
    "Read the review of a film below and decide whether the person who wrote it liked the film or did not like it. "
)


@dataclass(frozen=True)
class Shortcut:
    """A way to save work, and what makes the engine take it.

    Attributes:
        name: in the table.
        model: `SMOLLM`, `TINY`, or `COMPILED` for a small Llama with random weights and compiled layers.
        template: a template.
        words: a label word for each label; those of several tokens are scored over the whole vocabulary.
        trains: whether a training step with gradients is compared instead of scoring.
    """

    name: str
    model: str
    template: str
    words: tuple[str, str] = ONE_TOKEN
    trains: bool = False


SMOLLM, TINY, COMPILED = "smollm2-135m", "bert-tiny", "random Llama"
FRONT = "<soft*5> Review: <text>\nIt was <mask>"
SHARED = f"<soft*5> {INSTRUCTION}<text>\nIt was <mask>"
SHORTCUTS = (
    Shortcut("padded batch, part of the head", SMOLLM, FRONT),
    Shortcut("shared prefix", SMOLLM, SHARED),
    Shortcut("shared prefix, packed words", SMOLLM, SHARED, SEVERAL_TOKENS),
    Shortcut("shared prefix, vectors at all layers", SMOLLM, SHARED.replace("*5", "*5 layers=all")),
    Shortcut("packed training step", SMOLLM, FRONT, SEVERAL_TOKENS, trains=True),
    Shortcut("cached texts in training", SMOLLM, "Review: <text><soft*5>\nIt was <mask>", trains=True),
    Shortcut("padded batch, part of the head", TINY, "<soft*5> <text> It was <mask>."),
    Shortcut("cached lower layers in training", TINY, "<soft*5 layers=1> <text> It was <mask>.", trains=True),
    Shortcut("compiled layers", COMPILED, FRONT),
)


def equality(device: str) -> Iterator[tuple[str, bool]]:
    """Compare each shortcut in float32 and bfloat16.

    Yields:
        A row of a Markdown table, and whether the two sides are equal.
    """
    texts = sorted(load_data("movie-reviews").train.texts[:200], key=len)[:: 200 // EXAMPLES][:EXAMPLES]
    for shortcut in SHORTCUTS:
        exact = _Side(shortcut, _backbone(shortcut.model, "float32", device), texts)
        rounded = _Side(shortcut, _backbone(shortcut.model, "bfloat16", device), texts, exact.soft)
        plain, plain_rounded = exact.plain(), rounded.plain()
        try:
            own, ours = _differences(exact.shortcut(), plain), _roundings(rounded.shortcut(), plain)
        except BackboneError as error:  # no compiler for C++, for one
            yield f"| {shortcut.name} | {shortcut.model} | not checked: {str(error).splitlines()[0]} | | |", True
            continue
        allowed = [ROUNDINGS * value for value in _roundings(plain_rounded, plain)]
        equal = max(own) <= FLOAT32_TOLERANCE and all(a <= b for a, b in zip(ours, allowed, strict=True))
        cells = [
            shortcut.name + ("" if exact.taken else " (this model does not take it)"),
            shortcut.model,
            _listed(own, ".1e"),
            f"{_listed(ours, '.3f')} (allowed {_listed(allowed, '.3f')})",
            "yes" if equal else "**no**",
        ]
        yield f"| {' | '.join(cells)} |", equal


HEADER = "| shortcut | model | float32 | bfloat16 | equal |\n| --- | --- | --- | --- | --- |"


def random_llama(device: str, dtype: torch.dtype = torch.float32, **sizes: int) -> Backbone:
    """A Llama with random weights, the same each time, and the tokenizer of SmolLM2."""
    tokenizer = load_tokenizer("starter:smollm2-135m")[0]
    config = LlamaConfig(
        vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=0, tie_word_embeddings=True,
        max_position_embeddings=2048, **sizes,
    )  # fmt: skip
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = LlamaForCausalLM._from_config(config, dtype=dtype).eval()
    return Backbone(model, tokenizer, "random Llama")


def _backbone(name: str, dtype: str, device: str) -> Backbone:
    if name != COMPILED:
        return load_backbone(f"starter:{name}", dtype=dtype, device=device)
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    backbone = random_llama(device, **sizes)
    return Backbone(backbone.model.to(getattr(torch, dtype)), backbone.tokenizer, backbone.name)


class _Side:
    """A shortcut on a model in one precision, and plain transformers on the same prompts and vectors.

    Both give a list: scores of the words in nats, shape (examples, words), up to a constant for each example; and in
    training the gradient of the vectors.
    """

    def __init__(self, shortcut: Shortcut, backbone: Backbone, texts: Sequence[str], soft: SoftVectors | None = None):
        self.shortcut_, self.backbone = shortcut, backbone
        verbalizer = Verbalizer(dict(zip(LABELS, shortcut.words, strict=True)))
        self.compiled = CompiledPrompt(Template(shortcut.template), verbalizer, backbone, max_length=256)
        self.prompts = self.compiled.encode(list(texts))
        self.soft = self._vectors(soft).to(backbone.device)
        self.taken = True

    def _vectors(self, soft: SoftVectors | None) -> SoftVectors:
        """Vectors with the values of `soft`, or initial ones; at later layers a tenth of the states there."""
        blocks = self.compiled.template.blocks
        if soft is not None:
            return SoftVectors.from_blocks(blocks, soft.by_block(), soft.deep_by_block())
        generator = np.random.default_rng(0)
        made = initial_vectors(
            self.compiled.template, self.backbone, init="vocabulary", prompts=self.prompts, words=self.compiled.words,
            generator=generator,
        )  # fmt: skip
        if made.deep is not None:
            made.rescale(layer_rms(self.backbone, self.prompts, made.inputs()))
            made.deep.data += torch.from_numpy(0.1 * generator.standard_normal(made.deep.shape)).to(made.deep)
        return made

    def shortcut(self) -> list[Tensor]:
        """As softcloze computes it."""
        backbone, scorer = self.backbone, self.compiled.scorer
        if self.shortcut_.model == COMPILED:
            backbone.compile()
        if not self.shortcut_.trains:
            self.taken = backbone.family == "masked" or backbone.supports_prefix_cache
            return [self.compiled.features(self.prompts, self.soft).log_softmax(-1)]
        with backbone.frozen():
            inputs = self.soft.inputs()
            with torch.no_grad():
                below = scorer.cache_below(self.prompts, inputs, self.soft.first_layer, 2**30)
            prefix = scorer.cache_prefixes(self.prompts, 2**30)
            self.taken = below is not None or prefix is not None or backbone.can_pack
            rows = range(len(self.prompts)) if prefix is not None else ()
            return self._with_gradient(scorer.batch(self.prompts, replace(inputs, below=below), prefix, rows))

    def plain(self) -> list[Tensor]:
        """As transformers computes it by itself."""
        inputs = self.soft.inputs()
        if self.shortcut_.trains:
            return self._with_gradient(self._plain_scores(inputs))
        with torch.no_grad():
            return [self._plain_scores(inputs).log_softmax(-1).cpu()]

    def _with_gradient(self, scores: Tensor) -> list[Tensor]:
        goals = torch.arange(len(scores), device=scores.device) % len(LABELS)
        gradients = torch.autograd.grad(cross_entropy(scores, goals), [*self.soft.trained.values()])
        return [scores.detach().log_softmax(-1).cpu(), *(gradient.cpu() for gradient in gradients)]

    def _plain_scores(self, inputs: SoftInputs) -> Tensor:
        lengths = self.compiled.scorer.lengths or (1,) * len(self.compiled.words)
        words = list(zip(self.compiled.words, lengths, strict=True))
        rows = [
            [_log_probability(self.backbone, prompt, word, inputs) / length for word, length in words]
            for prompt in self.prompts
        ]
        return torch.stack([torch.stack(row) for row in rows])


def _log_probability(backbone: Backbone, prompt: EncodedPrompt, word: tuple[int, ...], inputs: SoftInputs) -> Tensor:
    """The logarithm of the probability of a word at the mask, in nats."""
    model, start = backbone.model, len(prompt.left)
    mask = backbone.tokenizer.mask_token_id
    fill, before = (word, 1) if mask is None else ((mask,) * len(word), 0)
    ids = (*prompt.left, *fill, *prompt.right)
    embed = model.get_input_embeddings()(torch.tensor([max(0, i) for i in ids], device=backbone.device))
    at = [position for position, i in enumerate(ids) if i < 0]
    rows = [-1 - ids[position] for position in at]
    index = torch.tensor(at, device=backbone.device)
    embed = embed.index_copy(0, index, inputs.embeddings[rows].to(embed.dtype))
    stack = next(
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module) == model.config.num_hidden_layers
    )
    with ExitStack() as hooks:
        for layer, (vectors, _) in inputs.layers.items():

            def add(_: nn.Module, args: tuple[Tensor, ...], added: Tensor = vectors[rows]) -> tuple[Tensor, ...]:
                return (args[0].index_add(1, index, added.to(args[0].dtype)[None]), *args[1:])

            hooks.callback(stack[layer].register_forward_pre_hook(add).remove)
        logs = model(inputs_embeds=embed[None]).logits[0].float().log_softmax(-1)
    return torch.stack([logs[start + k - before, token] for k, token in enumerate(word)]).sum()


def _differences(ours: Sequence[Tensor], plain: Sequence[Tensor]) -> list[float]:
    """The largest difference of scores in nats, and the difference of each gradient as a share of its norm."""
    scores, *gradients = [(a.float() - b.float(), b.float()) for a, b in zip(ours, plain, strict=True)]
    return [float(scores[0].abs().max()), *(float(change.norm() / whole.norm()) for change, whole in gradients)]


def _roundings(rounded: Sequence[Tensor], plain: Sequence[Tensor]) -> list[float]:
    """The root mean square difference of scores in nats, and the difference of each gradient as in `_differences`."""
    return [float((rounded[0].float() - plain[0]).square().mean().sqrt()), *_differences(rounded, plain)[1:]]


def _listed(values: Sequence[float], form: str) -> str:
    return ", gradient ".join(f"{value:{form}}" for value in values)
