"""Set-ups of models and tokenizers that people really have, and their scores from plain transformers.

Each set-up of `SETUPS` scores as plain transformers does, or raises one error of softcloze that names the reason.
The measure is `plain_log_probability`: encode the printed text, run the model, read the label word's tokens.
"""

import copy
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers import models as token_models

from softcloze import PromptClassifier
from softcloze.backbone import Backbone, load_backbone
from softcloze.errors import BackboneError, SoftclozeError, TokenizerError
from support import models

TEMPLATE = "Say: <text> It was <mask>"
SOFT_TEMPLATE = "Say:<soft*2> <text> It was<soft> <mask>"
WORDS = {"pos": "good", "neg": "terrible story"}
TEXTS = [
    "A delight from the first scene to the last.",
    "Dull.",
    "I liked the story, the cast and the music; the film is a delight.",
    "I did not like the end, and it was far too long: " + "dull people, terrible acting, a dreadful story, " * 12,
    "好看，a great film with a great cast.",
]
TRAINING = (TEXTS[:2] * 2, ["pos", "neg"] * 2)
FLOAT32 = 2e-6


@dataclass(frozen=True)
class Setup:
    """A model as a user gives it, and as plain transformers runs it.

    Attributes:
        given: a folder, or a model and its tokenizer.
        plain: the model for the reference, in evaluation mode.
        tokenizer: the tokenizer for the reference.
        family: "masked", "causal" or "seq2seq".
    """

    given: str | tuple[Any, Any]
    plain: Any
    tokenizer: Any
    family: str


@dataclass(frozen=True)
class OddModel:
    """One entry of the table.

    Attributes:
        build: makes the set-up, in an empty folder.
        refusal: class of the error that is expected, and a word of its message; None for scores as plain transformers'.
        tolerance: `largest_difference` that is allowed.
        slow: takes more than a second or two.
    """

    build: Callable[[Path], Setup]
    refusal: tuple[type[SoftclozeError], str] | None = None
    tolerance: float = FLOAT32
    slow: bool = False


# -- the reference --


def plain_log_probability(
    setup: Setup, text: str, word: str, tail: str, *, limit: int, answer: int = 0, soft: torch.Tensor | None = None
) -> torch.Tensor:
    """Log-probability of a label word after `text` in nats, by plain calls of transformers.

    Args:
        setup: the model and the tokenizer.
        text: the field's value; its last tokens are cut where the prompt exceeds `limit`.
        word: the label word.
        tail: the template's text after the mask.
        limit: positions of a prompt.
        answer: tokens of the longest label word.
        soft: three vectors, two after "Say:" and one before the word; None without any.
    """
    model, tokenizer, family = setup.plain, setup.tokenizer, setup.family
    left, blank = f"Say: {text} It was", tokenizer.mask_token or "<extra_id_0>"
    filled = tokenizer(f"{left} {word}{tail}", return_offsets_mapping=True)
    target = [
        token
        for token, (start, end) in zip(filled["input_ids"], filled["offset_mapping"], strict=True)
        if start < len(left) + 1 + len(word) and end > len(left)
    ]
    printed = filled if family == "causal" else tokenizer(f"{left} {blank}{tail}", return_offsets_mapping=True)
    ids, ends = list(printed["input_ids"]), [end for _, end in printed["offset_mapping"]]
    if family == "causal":  # the end of sequence that a tokenizer may add belongs to no prompt
        del ids[ends.index(max(ends)) + 1 :]
        at = next(i for i, end in enumerate(ends) if end > len(left))
        spare = max(answer - len(target), 0)
    else:
        at = ids.index(tokenizer.convert_tokens_to_ids(blank))
        spare = answer - 1 if tokenizer.mask_token else 0  # a sentinel is one position whatever the word
    say, literal = (next(i for i, end in enumerate(ends) if end > size) for size in (4, len(f"Say: {text}")))
    soft_count = len(soft) if soft is not None else 0
    over = max(len(ids) + spare + soft_count - limit, 0)
    del ids[literal - over : literal]
    at -= over
    if family == "masked":
        logs = _logits(model, [*ids[:at], *[ids[at]] * len(target), *ids[at + 1 :]], (say, at), soft)
        read = range(at + soft_count, at + soft_count + len(target))
    elif family == "causal":
        target = ids[at:]
        logs = _logits(model, ids, (say, at), soft)
        read = range(at + soft_count - 1, len(ids) + soft_count - 1)
    else:
        opening = [model.config.decoder_start_token_id, *(ids[:at] if tokenizer.mask_token else [ids[at]])]
        logs = _logits(model, ids, (say, at), soft, decoder_input_ids=torch.tensor([[*opening, *target]]))
        read = range(len(opening) - 1, len(opening) - 1 + len(target))
    return logs.log_softmax(-1)[list(read), target].sum()


def _logits(model: Any, ids: list[int], at: tuple[int, int], soft: torch.Tensor | None, **more: Any) -> torch.Tensor:
    """Logits of one sequence, shape (positions, vocab); two vectors come before one index, and one before the other."""
    if soft is None:
        return model(input_ids=torch.tensor([ids]), return_dict=True, **more).logits[0].float()
    rows = model.get_input_embeddings()(torch.tensor(ids))
    soft = soft.to(rows.dtype)
    rows = torch.cat([rows[: at[0]], soft[:2], rows[at[0] : at[1]], soft[2:], rows[at[1] :]])
    return model(inputs_embeds=rows[None], return_dict=True, **more).logits[0].float()


def plain_scores(setup: Setup, tail: str, limit: int, soft: torch.Tensor | None = None) -> torch.Tensor:
    """Log-probabilities of the words of the sorted labels for `TEXTS`, by plain transformers, shape (texts, labels)."""
    words = [WORDS[label] for label in sorted(WORDS)]
    with torch.no_grad():
        answer = max(len(setup.tokenizer(f"was {word}", add_special_tokens=False)["input_ids"]) for word in words)
        answer -= len(setup.tokenizer("was", add_special_tokens=False)["input_ids"])
        scores = [
            [plain_log_probability(setup, text, word, tail, limit=limit, answer=answer, soft=soft) for word in words]
            for text in TEXTS
        ]
    return torch.tensor(scores, dtype=torch.float64)


def largest_difference(setup: Setup) -> float:
    """The largest difference of a decision from plain transformers, of hard and trained soft prompts.

    As a share of the largest log-probability of a label word, of which rounding is a share as well.

    Raises:
        SoftclozeError: softcloze raises for this set-up.
    """
    folder = isinstance(setup.given, str)
    options = {"dtype": "float32", "device": "cpu"} if folder else {}
    backbone = load_backbone(setup.given, **options) if folder else Backbone(*setup.given, "odd")
    given, limit = setup.given if folder else backbone, backbone.max_length
    worst = 0.0
    for tail in ("", ".") if setup.family == "causal" else (".",):
        hard = PromptClassifier(given, TEMPLATE + tail, WORDS, random_state=0, model_options=options)
        soft = PromptClassifier(
            given,
            SOFT_TEMPLATE + tail,
            WORDS,
            calibration=None,
            epochs=1,
            random_state=0,
            model_options=options,
        )
        vectors = torch.cat([*soft.fit(*TRAINING).prompt_.vectors.values()])
        for classifier, trained_vectors in ((hard, None), (soft, vectors)):
            expected = plain_scores(setup, tail, limit, trained_vectors)
            difference = torch.tensor(classifier.decision_function(TEXTS)) - (expected[:, 1] - expected[:, 0])
            error = float((difference.abs() / expected.abs().amax(-1).clamp(min=1)).max())
            worst = max(worst, error if isfinite(error) else inf)
    return worst


# -- how set-ups are built --


def borrowed(model: Any, tokenizer: Any, plain: Any = None) -> Setup:
    """A model that the user has loaded; the reference is a copy in evaluation mode, or `plain`."""
    plain = copy.deepcopy(model).eval() if plain is None else plain
    base = plain.get_base_model() if hasattr(plain, "get_base_model") else plain
    family = "masked" if "MaskedLM" in type(base).__name__ else "causal"
    return Setup((model, tokenizer), plain, tokenizer, "seq2seq" if base.config.is_encoder_decoder else family)


def saved(model: Any, tokenizer: Any, folder: Path, change: Callable[[Path], None] | None = None) -> Setup:
    """A model that is loaded from a folder, which `change` has damaged or changed."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if change is not None:
        change(folder)
    return Setup(str(folder), model, tokenizer, "masked" if "MaskedLM" in type(model).__name__ else "causal")


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
GROUPED = SIZES | {"num_key_value_heads": 2, "head_dim": 8}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
SHORT = {"max_position_embeddings": 64}
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def made(model: str, kind: str, **config: Any) -> Any:
    """A tiny model of random weights of this class, for the vocabulary of a tokenizer of `models`."""
    model_class = getattr(hf, model)
    return models.with_random_weights(model_class(model_class.config_class(vocab_size=size_of(kind), **config)))


def size_of(kind: str) -> int:
    """Rows of embeddings for a kind of tokenizer: a few more than it has tokens, as in real models."""
    return len(models.borrowed(kind)) + 5


def architecture(model: str, kind: str, **config: Any) -> OddModel:
    """A tiny model of this class, borrowed."""
    return OddModel(lambda _: borrowed(made(model, kind, **config), models.tokenizer(kind)))


def changed(name: str, change: Callable[[Any], Any], **entry: Any) -> OddModel:
    """A tiny model of `models`, which `change` changes, or replaces by its result."""

    def build(_: Path) -> Setup:
        model = models.model(name)
        result = change(model)
        return borrowed(model if result is None else result, models.tokenizer(models._KINDS[name]))

    return OddModel(build, **entry)


def with_tokenizer(name: str, change: Callable[[Any], Any], **entry: Any) -> OddModel:
    """A tiny model of `models` with its tokenizer, which `change` changes, or replaces by its result."""

    def build(_: Path) -> Setup:
        tokenizer = models.tokenizer(models._KINDS[name])
        result = change(tokenizer)
        return borrowed(models.model(name), tokenizer if result is None else result)

    return OddModel(build, **entry)


def in_folder(name: str, change: Callable[[Path], None] | None = None, **entry: Any) -> OddModel:
    """A tiny model of `models` that was saved, in a folder that `change` changes."""
    return OddModel(
        lambda folder: saved(models.model(name), models.tokenizer(models._KINDS[name]), folder, change), **entry
    )


def edited(file: str, edit: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """A change to a JSON file of a folder."""

    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        edit(content)
        (folder / file).write_text(json.dumps(content))

    return change


def weights(edit: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    """A change to the weights of a folder."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def adapted(name: str, config: Any, **entry: Any) -> OddModel:
    """A tiny model of `models`, wrapped by PEFT, with random weights in the adapter."""

    def change(model: Any) -> Any:
        with warnings.catch_warnings(), torch.random.fork_rng(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            wrapped = get_peft_model(model, config)
            for weight_name, weight in wrapped.named_parameters():
                if weight.requires_grad and "norm" not in weight_name:
                    weight.normal_(mean=1.0 if "ia3" in weight_name else 0.0, std=0.3)
        return wrapped

    return changed(name, change, **entry)


def resized(model: Any, tokens: int, multiple: int | None = None) -> None:
    """Resize embeddings; the rows that are new get random weights."""
    with warnings.catch_warnings(), torch.random.fork_rng():
        torch.manual_seed(0)
        model.resize_token_embeddings(tokens, pad_to_multiple_of=multiple, mean_resizing=False)


def trained(backend: Tokenizer, trainer: Any, *, specials: dict[str, str], frame: tuple[str, str] | None = None) -> Any:
    """A tokenizer that is trained here, as people do for languages of their own."""
    backend.train_from_iterator(models.CORPUS, trainer)
    if frame is not None:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{frame[0]} $A {frame[1]}".strip(),
            special_tokens=[(name, backend.token_to_id(name)) for name in frame if name],
        )
    return hf.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **specials)


def byte_level_chinese(add_prefix_space: bool) -> Any:
    """Byte-level BPE, whose tokens are parts of Chinese characters."""
    backend = Tokenizer(token_models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    return trained(backend, trainer, specials={"eos_token": "<|end|>"})


def word_pieces(lowercase: bool) -> Any:
    """WordPiece with one token for each Chinese character."""
    backend = Tokenizer(token_models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=specials, show_progress=False)
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return trained(backend, trainer, specials=dict(zip(names, specials, strict=True)), frame=("[CLS]", "[SEP]"))


def words_only() -> Any:
    """One token for each word, and an unknown token for all others."""
    backend = Tokenizer(token_models.WordLevel(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["<unk>", "<s>"], show_progress=False)
    return trained(backend, trainer, specials={"unk_token": "<unk>", "bos_token": "<s>"}, frame=("<s>", ""))


def unigram_with_prefix() -> Any:
    """SentencePiece's unigram model with a BOS token, normalised by NFKC."""
    backend = Tokenizer(token_models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False
    )
    return trained(
        backend,
        trainer,
        specials={"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
        frame=("<s>", ""),
    )


def fitted(model: str, make_tokenizer: Callable[[], Any], **config: Any) -> OddModel:
    """A tiny model of this class for a tokenizer that is trained here."""

    def build(_: Path) -> Setup:
        tokenizer = make_tokenizer()
        model_class = getattr(hf, model)
        config_class = model_class.config_class
        return borrowed(
            models.with_random_weights(model_class(config_class(vocab_size=len(tokenizer) + 5, **config))), tokenizer
        )

    return OddModel(build)


def _framed(single: str) -> Callable[[Any], None]:
    """Change a tokenizer like Llama's to put these special tokens around a text."""

    def change(tokenizer: Any) -> None:
        ends = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("<s>", "</s>")]
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=ends)

    return change


def _prepended(tokenizer: Any) -> None:
    """Prepend the space in the normaliser, as Llama 2 and Mistral do."""
    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    tokenizer.backend_tokenizer.normalizer, tokenizer.backend_tokenizer.pre_tokenizer = (
        normalizers.Sequence(steps),
        None,
    )


def _untied(model: Any) -> None:
    head = model.get_output_embeddings()
    head.weight = torch.nn.Parameter(torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    model.config.tie_word_embeddings = False


def _cutting(tokenizer: Any) -> None:
    """Leave on what the last call of other code has set."""
    tokenizer.backend_tokenizer.enable_truncation(5)
    tokenizer.backend_tokenizer.enable_padding(length=9)


def _checkpointing(model: Any) -> None:
    model.train()
    model.gradient_checkpointing_enable()


def _returning_all(model: Any) -> None:
    model.set_attn_implementation("eager")
    model.config.output_hidden_states = model.config.output_attentions = True


def _in_training(model: Any) -> None:
    model.train()


def _with_dropout(model: Any) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    model.train()


def _quantised(model: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)


def _with_nan(model: Any) -> None:
    with torch.no_grad():
        list(model.parameters())[-3].fill_(torch.nan)


def _truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def _as_pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d7a' * 16}\nsize 12345\n"
    )


def _without_layer(tensors: dict[str, torch.Tensor]) -> None:
    for name in [name for name in tensors if ".layer.1." in name]:
        del tensors[name]


def _without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def _junk_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02junk" * 100)


def _sharded(folder: Path) -> Setup:
    model, tokenizer = models.model("llama"), models.tokenizer("llama")
    model.save_pretrained(folder, max_shard_size="20KB")
    tokenizer.save_pretrained(folder)
    return Setup(str(folder), model, tokenizer, "causal")


def _without_head(folder: Path) -> Setup:
    config = models.model("bert").config
    with torch.random.fork_rng():
        model = hf.BertForSequenceClassification(config)
    return saved(model, models.tokenizer("wordpiece"), folder)


def _headless(folder: Path) -> Setup:
    with torch.random.fork_rng():
        model = hf.BertModel(models.model("bert").config)
    return borrowed(model, models.tokenizer("wordpiece"))


BACKBONE = BackboneError
RESIZE = (BackboneError, "resize_token_embeddings")
UNREADABLE = (BackboneError, "cannot load the model")
ROTARY = {"rope_type": "default", "rope_theta": 10000.0}

SETUPS: dict[str, OddModel] = {
    # embeddings
    "resized: more rows": changed("bert", lambda model: resized(model, size_of("wordpiece") + 40)),
    "resized: padded to 64": changed("gpt2", lambda model: resized(model, size_of("gpt2"), 64)),
    "resized: rows of the tokens alone": changed("llama", lambda model: resized(model, size_of("llama") - 5)),
    "resized: fewer rows than tokens": changed("gpt2", lambda model: resized(model, 300), refusal=RESIZE),
    "tokens added without resizing": with_tokenizer(
        "bert", lambda tokenizer: tokenizer.add_tokens([f"new{i}" for i in range(20)]) and None, refusal=RESIZE
    ),
    "tokenizer of another model": OddModel(
        lambda _: borrowed(made("BertForMaskedLM", "wordpiece", **SIZES), models.tokenizer("roberta")), refusal=RESIZE
    ),
    "untied head, masked": changed("bert", _untied),
    "untied head, causal": changed("gpt2", _untied),
    "tied head": architecture("LlamaForCausalLM", "llama", **GROUPED, **SHORT, **ENDS, tie_word_embeddings=True),
    "head with a bias": architecture("PhiForCausalLM", "gpt2", **SIZES, **SHORT),
    "head with a bias, interleaved rotary positions": architecture(
        "GPTJForCausalLM", "gpt2", n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=64
    ),
    "factorised embeddings": changed("albert", lambda model: None),
    # tokenizers
    "pad = eos": with_tokenizer("llama", lambda tokenizer: setattr(tokenizer, "pad_token", tokenizer.eos_token)),
    "no pad token": with_tokenizer("gpt2", lambda tokenizer: setattr(tokenizer, "pad_token", None)),
    "no pad token in the configuration": changed("bert", lambda model: setattr(model.config, "pad_token_id", None)),
    "padding side left, masked": with_tokenizer("bert", lambda tokenizer: setattr(tokenizer, "padding_side", "left")),
    "padding side left, causal": with_tokenizer("llama", lambda tokenizer: setattr(tokenizer, "padding_side", "left")),
    "truncation side left": with_tokenizer("bert", lambda tokenizer: setattr(tokenizer, "truncation_side", "left")),
    "no BOS": with_tokenizer("llama", _framed("$A")),
    "BOS and EOS added": with_tokenizer("llama", _framed("<s> $A </s>")),
    "EOS alone added": with_tokenizer("llama", _framed("$A </s>")),
    "truncation and padding left on": with_tokenizer(
        "bert",
        _cutting,
    ),
    "mask token that is not in the vocabulary": with_tokenizer(
        "bert", lambda tokenizer: setattr(tokenizer, "mask_token", "<M>"), refusal=(TokenizerError, "mask")
    ),
    "a tokenizer without offsets": with_tokenizer(
        "gpt2", lambda _: hf.ByT5Tokenizer(), refusal=(TokenizerError, "tokenizers library")
    ),
    "a space prepended by the normaliser": with_tokenizer("llama", _prepended),
    "a space prepended by byte-level BPE": fitted("GPT2LMHeadModel", lambda: byte_level_chinese(True), **GPT2),
    "byte-level BPE": fitted("GPT2LMHeadModel", lambda: byte_level_chinese(False), **GPT2),
    "WordPiece, uncased Chinese": fitted("BertForMaskedLM", lambda: word_pieces(True), **SIZES, **SHORT),
    "WordPiece, cased": fitted("BertForMaskedLM", lambda: word_pieces(False), **SIZES, **SHORT),
    "one token a word": fitted("LlamaForCausalLM", words_only, **GROUPED, **SHORT),
    "SentencePiece unigram, causal": fitted("LlamaForCausalLM", unigram_with_prefix, **GROUPED, **SHORT),
    "SentencePiece unigram, masked": changed("deberta-v2", lambda model: None),
    "SentencePiece BPE with bytes": changed("gemma3_text", lambda model: None),
    # positions
    "position ids after the padding id": changed("roberta", lambda model: None),
    "no position limit": with_tokenizer("bloom", lambda tokenizer: setattr(tokenizer, "model_max_length", 10**30)),
    "tokenizer's limit below the model's": with_tokenizer(
        "llama", lambda tokenizer: setattr(tokenizer, "model_max_length", 40)
    ),
    "tokenizer without a limit": with_tokenizer(
        "bert", lambda tokenizer: setattr(tokenizer, "model_max_length", 10**30)
    ),
    "tokenizer without a limit, GPT-2": with_tokenizer(
        "gpt2", lambda tokenizer: setattr(tokenizer, "model_max_length", 10**30)
    ),
    "tokenizer without a limit, MPT": OddModel(
        lambda _: (lambda setup: (setattr(setup.tokenizer, "model_max_length", 10**30), setup)[1])(
            borrowed(
                made("MptForCausalLM", "gpt2", d_model=32, n_heads=4, n_layers=2, max_seq_len=64),
                models.tokenizer("gpt2"),
            )
        )
    ),
    "sliding windows": architecture("MistralForCausalLM", "llama", **GROUPED, **SHORT, **ENDS, sliding_window=8),
    "sliding windows in upper layers": architecture(
        "Qwen2ForCausalLM",
        "gpt2",
        **(GROUPED | {"num_hidden_layers": 4}),
        **SHORT,
        use_sliding_window=True,
        sliding_window=8,
        max_window_layers=2,
    ),
    "windows in turn, capped scores": architecture(
        "Gemma2ForCausalLM",
        "gemma",
        **(GROUPED | {"num_hidden_layers": 4}),
        **SHORT,
        **ENDS,
        sliding_window=8,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=3.0,
    ),
    "windows in turn, two rotary bases": architecture(
        "Gemma3ForCausalLM",
        "gemma",
        **(GROUPED | {"num_hidden_layers": 4}),
        **SHORT,
        **ENDS,
        sliding_window=8,
        layer_types=["sliding_attention"] * 3 + ["full_attention"],
    ),
    "windows of a masked model": changed("modernbert", lambda model: None),
    "attention sinks, experts": architecture(
        "GptOssForCausalLM",
        "gpt2",
        **GROUPED,
        **SHORT,
        sliding_window=8,
        num_local_experts=4,
        num_experts_per_tok=2,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "ALiBi, BLOOM": changed("bloom", lambda model: None),
    "ALiBi, MPT": architecture("MptForCausalLM", "gpt2", d_model=32, n_heads=4, n_layers=2, max_seq_len=64),
    "ALiBi, Falcon": architecture(
        "FalconForCausalLM", "gpt2", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True
    ),
    "relative positions, T5": changed("t5", lambda model: None),
    "relative positions, untied T5": changed("t5-gated", lambda model: None),
    "relative positions, DeBERTa": architecture(
        "DebertaForMaskedLM", "roberta", **SIZES, **SHORT, relative_attention=True, pos_att_type=["c2p", "p2c"]
    ),
    "encoder and decoder, BART": changed("bart", lambda model: None),
    "rotary positions, linear": architecture(
        "LlamaForCausalLM", "llama", **GROUPED, **SHORT, rope_parameters=ROTARY | {"rope_type": "linear", "factor": 4.0}
    ),
    "rotary positions, YaRN": architecture(
        "LlamaForCausalLM",
        "llama",
        **GROUPED,
        **SHORT,
        rope_parameters=ROTARY | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    ),
    "rotary positions, Llama 3": architecture(
        "LlamaForCausalLM",
        "llama",
        **GROUPED,
        **SHORT,
        rope_parameters=ROTARY
        | {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
    "rotary positions, dynamic": architecture(
        "LlamaForCausalLM",
        "llama",
        **GROUPED,
        max_position_embeddings=16,
        rope_parameters=ROTARY | {"rope_type": "dynamic", "factor": 4.0},
    ),
    "rotary positions in a part of the head": architecture(
        "GPTNeoXForCausalLM", "gpt2", **SIZES, **SHORT, rope_parameters=ROTARY | {"partial_rotary_factor": 0.25}
    ),
    "one key head for all": architecture(
        "LlamaForCausalLM", "llama", **(GROUPED | {"num_key_value_heads": 1}), **SHORT, **ENDS
    ),
    "grouped keys, norms of queries": changed("qwen3", lambda model: None),
    "scaled logits": architecture("CohereForCausalLM", "gemma", **GROUPED, **SHORT, **ENDS, logit_scale=0.3),
    "multipliers everywhere": architecture(
        "GraniteForCausalLM",
        "llama",
        **GROUPED,
        **SHORT,
        **ENDS,
        logits_scaling=3.0,
        embedding_multiplier=2.0,
        residual_multiplier=0.5,
        attention_multiplier=0.2,
    ),
    "mixture of experts": architecture(
        "MixtralForCausalLM", "llama", **GROUPED, **SHORT, num_local_experts=4, num_experts_per_tok=2
    ),
    "state space, no attention": architecture(
        "MambaForCausalLM", "gpt2", hidden_size=32, num_hidden_layers=2, state_size=4
    ),
    "encoder configured as a decoder": OddModel(
        lambda _: borrowed(
            made("BertLMHeadModel", "wordpiece", **SIZES, is_decoder=True), models.tokenizer("wordpiece")
        )
    ),
    # PEFT
    "LoRA, causal": adapted("llama", LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")),
    "LoRA, masked": adapted("bert", LoraConfig(r=4, target_modules=["query", "value"])),
    "LoRA on embeddings": adapted("llama", LoraConfig(r=4, target_modules=["embed_tokens", "q_proj"])),
    "LoRA, merged": changed(
        "llama",
        lambda model: get_peft_model(
            model, LoraConfig(task_type="CAUSAL_LM", r=4, init_lora_weights=False)
        ).merge_and_unload(),
    ),
    "IA3": adapted("llama", IA3Config(task_type="CAUSAL_LM")),
    "prefix tuning, GPT-2": adapted("gpt2", PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)),
    "prefix tuning, Llama": adapted("llama", PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)),
    "prompt tuning, GPT-2": adapted(
        "gpt2", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), refusal=(BACKBONE, "virtual tokens")
    ),
    "prompt tuning, Llama": adapted(
        "llama", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), refusal=(BACKBONE, "virtual tokens")
    ),
    "P-tuning": adapted(
        "llama",
        PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, encoder_hidden_size=16),
        refusal=(BACKBONE, "virtual tokens"),
    ),
    # flags and wrappers
    "in training mode": changed("bert", _in_training),
    "in training mode with dropout": changed("gpt2", _with_dropout),
    "requires_grad off": changed("gpt2", lambda model: model.requires_grad_(False) and None),
    "gradient checkpointing": changed("llama", _checkpointing),
    "hidden states and attentions returned": changed(
        "bert",
        _returning_all,
    ),
    "hidden states returned, causal": changed(
        "gpt2", lambda model: setattr(model.config, "output_hidden_states", True)
    ),
    "tuples returned": changed("bert", lambda model: setattr(model.config, "return_dict", False)),
    "tuples returned, T5": changed("t5", lambda model: setattr(model.config, "return_dict", False)),
    "no cache": changed("llama", lambda model: setattr(model.config, "use_cache", False)),
    "eager attention": changed("llama", lambda model: model.set_attn_implementation("eager")),
    "forward pass compiled": changed(
        "llama", lambda model: setattr(model, "forward", torch.compile(model.forward, backend="eager")), slow=True
    ),
    "compiled by torch": OddModel(
        lambda _: borrowed(
            torch.compile(models.model("bert"), backend="eager"), models.tokenizer("wordpiece"), models.model("bert")
        ),
        slow=True,
    ),
    "DataParallel": OddModel(
        lambda _: borrowed(
            torch.nn.DataParallel(models.model("bert")), models.tokenizer("wordpiece"), models.model("bert")
        ),
        refusal=(BACKBONE, "DataParallel"),
    ),
    "no head": OddModel(_headless, refusal=(BACKBONE, "no language-modelling head")),
    "no weights, on the meta device": changed("bert", lambda model: model.to("meta"), refusal=(BACKBONE, "meta")),
    # precision
    "bfloat16": changed("llama", lambda model: model.to(torch.bfloat16), tolerance=0.03),
    "bfloat16, masked": changed("bert", lambda model: model.to(torch.bfloat16), tolerance=0.03),
    "float16": changed("llama", lambda model: model.to(torch.float16), tolerance=0.01),
    "float64": changed("llama", lambda model: model.to(torch.float64)),
    "int8, dynamic": changed("bert", _quantised, refusal=(BACKBONE, "quantised")),
    "NaN among the weights": changed("bert", _with_nan, refusal=(BACKBONE, "not finite")),
    "NaN among the weights, causal": changed("llama", _with_nan, refusal=(BACKBONE, "not finite")),
    # folders
    "a folder": in_folder("bert"),
    "a folder, causal": in_folder("llama"),
    "shards": OddModel(_sharded),
    "truncated weights": in_folder("bert", _truncated, refusal=UNREADABLE),
    "a pointer of Git LFS for the weights": in_folder("bert", _as_pointer, refusal=(BACKBONE, "LFS")),
    "junk in pytorch_model.bin": in_folder("bert", _junk_pickle, refusal=UNREADABLE),
    "a layer missing": in_folder("bert", weights(_without_layer), refusal=(BACKBONE, "layer.1.")),
    "a classifier's checkpoint": OddModel(_without_head, refusal=(BACKBONE, "cls.predictions")),
    "no tokenizer": in_folder("bert", _without_tokenizer, refusal=(BACKBONE, "tokenizer")),
    "a vocabulary smaller than the weights": in_folder(
        "bert", edited("config.json", lambda config: config.update(vocab_size=50)), refusal=UNREADABLE
    ),
    "code of its own": in_folder(
        "bert",
        edited(
            "config.json",
            lambda config: config.update(
                model_type="odd", auto_map={"AutoConfig": "odd.OddConfig", "AutoModelForMaskedLM": "odd.Odd"}
            ),
        ),
        refusal=(BACKBONE, "code"),
    ),
    "NaN in the checkpoint": in_folder(
        "bert",
        weights(lambda tensors: tensors["bert.encoder.layer.1.output.dense.weight"].fill_(torch.nan)),
        refusal=(BACKBONE, "not finite"),
    ),
}
