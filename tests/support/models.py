"""Tiny tokenizers and models, made from a fixed corpus and a fixed seed."""

import json
import math
import re
from copy import deepcopy
from functools import cache

import torch
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AlbertConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    BertLMHeadModel,
    BloomConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MBartConfig,
    MistralConfig,
    ModernBertConfig,
    MT5Config,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    RobertaConfig,
    T5Config,
)

from softcloze.backbone import Backbone

SENTENCES = [
    "It was good, and the acting was good too.",
    "It was bad, and the story was bad as well.",
    "It was great: a great film with a great cast.",
    "It was terrible. Terrible acting, terrible story!",
    "The film is a delight from the first scene to the last.",
    "A dull film about dull people, and far too long.",
    "I liked the story, the cast and the music.",
    "I did not like the end; it was not good.",
    "Review: the best film of the year?\nSentiment: positive",
    "Review: the worst film of the year.\nSentiment: negative",
    "In all, a positive review of a wonderful book.",
    "In all, a negative review of a dreadful book.",
    "This sentence expresses a positive feeling (really good).",
    "This sentence expresses a negative feeling (really bad).",
    "这部电影很好，演员也很好。",
    "这部电影很差，故事也很差。",
    "总之，很满意，质量不错。",
    "总之，很失望，质量太差了。",
    "这句话表达了积极的情感。",
    "这句话表达了消极的情感。",
    "酒店的房间很干净，服务也好！",
    "手机用了两天就坏了，不好。",
    "书的内容很好，值得一看。",
    "我不喜欢这本书，太无聊了。",
]
CORPUS = SENTENCES * 4

MASKED = {
    "bert": "wordpiece",
    "roberta": "roberta",
    "albert": "albert",
    "distilbert": "wordpiece",
    "electra": "wordpiece",
    "deberta-v2": "xlmr",
    "modernbert": "roberta",
}
CAUSAL = {
    "gpt2": "gpt2",
    "llama": "llama",
    "gemma3_text": "gemma",
    "qwen3": "gpt2",
    "mistral": "llama",
    "opt": "gpt2",
    "gpt_neox": "gpt2",
    "bloom": "gpt2",
}
ARCHITECTURES = MASKED | CAUSAL
SEQ2SEQ = {"t5": "t5", "t5-gated": "t5", "mt5": "mt5", "bart": "roberta", "mbart": "xlmr"}
SENTINELS = 3
_KINDS = ARCHITECTURES | SEQ2SEQ

MASKED_TOKENIZERS = ("wordpiece", "roberta", "xlmr", "albert")
CAUSAL_TOKENIZERS = ("gpt2", "gemma", "llama")
TOKENIZERS = MASKED_TOKENIZERS + CAUSAL_TOKENIZERS

# the output of a tokenizer with token types for the two texts of a pair
WITH_TYPES = ["input_ids", "token_type_ids", "attention_mask"]

# tokenizers whose tokens decode to the original text
LOSSLESS = ("roberta", "gpt2", "gemma")


def tokenizer(kind, padding_side="right"):
    """Make a tokenizer."""
    backend, names = _trained(kind)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(backend), padding_side=padding_side, model_max_length=64, **names
    )


def model(architecture, seed=0, layers=2):
    """Make a tiny model in float32 and evaluation mode, with weights large enough that scores differ."""
    vocabulary = len(tokenizer(_KINDS[architecture])) + 5  # real models have unused rows as well
    config = _config(architecture, vocabulary, layers)
    families = {AutoModelForMaskedLM: MASKED, AutoModelForCausalLM: CAUSAL, AutoModelForSeq2SeqLM: SEQ2SEQ}
    auto = next(auto for auto, architectures in families.items() if architecture in architectures)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = auto.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if parameter.dim() > 1:
                    parameter.normal_(std=0.5 if "embed" in name or "wte" in name or "wpe" in name else 0.2)
                elif name.endswith("bias"):
                    parameter.normal_(std=0.1)
    return made.eval()


def with_random_weights(made, seed=0):
    """Give `made` random weights that all change scores, norms and biases too, and evaluation mode."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in made.parameters():
            parameter.normal_(mean=0.1 if parameter.dim() < 2 else 0, std=0.3)
    return made.eval()


def new_backbone(architecture, *, padding_side="right", seed=0, layers=2):
    """Make a backbone with a model and a tokenizer of its own."""
    return Backbone(model(architecture, seed, layers), tokenizer(_KINDS[architecture], padding_side), architecture)


@cache
def borrowed(kind):
    """Return a shared tokenizer, for tests that do not change it."""
    return tokenizer(kind)


@cache
def backbone(architecture, padding_side="right", layers=2):
    """Return a shared backbone, for tests that do not change it."""
    return new_backbone(architecture, padding_side=padding_side, layers=layers)


def hidden_states_of(model, **inputs):
    """Return the hidden states of plain transformers, from a copy: asking for them leaves hooks in a model for good."""
    return deepcopy(model)(**inputs, output_hidden_states=True).hidden_states


def logits_of(model, ids, soft=None):
    """Return the logits of plain transformers for one unpadded sequence; -1 - r in `ids` is vector r of `soft`."""
    if soft is None:
        return model(input_ids=torch.tensor([ids])).logits[0].float()
    embed = model.get_input_embeddings()
    rows = [soft[-1 - i].to(embed.weight.dtype) if i < 0 else embed(torch.tensor(i)) for i in ids]
    inputs = {"inputs_embeds": torch.stack(rows)[None]}
    if getattr(model.config, "hidden_size_per_layer_input", 0):
        inputs["per_layer_inputs"] = model.model.get_per_layer_inputs(torch.tensor([[max(i, 0) for i in ids]]))
    return model(**inputs).logits[0].float()


def word_scores(model, prompt, words, soft=None, mask_id=None):
    """Return log P of each label word at the mask, from one forward pass per word over the full vocabulary.

    A masked model gets as many masks as the word has tokens; a causal model scores the filled prompt from the mask to
    its end.
    """
    scores = []
    for word in words:
        start = len(prompt.left)
        if mask_id is not None:
            row = [*prompt.left, *[mask_id] * len(word), *prompt.right]
            logs = logits_of(model, row, soft).log_softmax(-1)
            scores.append(sum(logs[start + k, token] for k, token in enumerate(word)))
        else:
            row = [*prompt.left, *word, *prompt.right]
            logs = logits_of(model, row, soft).log_softmax(-1)
            scores.append(sum(logs[at - 1, row[at]] for at in range(start, len(row)) if row[at] >= 0))
    return torch.stack(scores)


@cache
def _trained(kind):
    match kind:
        case "wordpiece":
            return _wordpiece()
        case "gpt2":
            return _byte_level([AddedToken("<|endoftext|>", special=True)], None), {
                "eos_token": "<|endoftext|>",
                "bos_token": "<|endoftext|>",
                "unk_token": "<|endoftext|>",
                "additional_special_tokens": ["<|im_start|>"],
            }
        case "roberta":
            return _roberta()
        case "xlmr":
            return _unigram("always", ["<s>", "<pad>", "</s>", "<unk>"], "<mask>", frame=("<s>", "</s>"))
        case "albert":
            state, names = _unigram("first", ["<pad>", "<unk>", "[CLS]", "[SEP]"], "[MASK]", frame=("[CLS]", "[SEP]"))
            return state, names | {"model_input_names": WITH_TYPES}
        case "t5":
            return _t5([AddedToken(f"<extra_id_{i}>", special=True, normalized=False) for i in range(SENTINELS)], [])
        case "mt5":  # whose sentinels are ordinary pieces
            return _t5([], [f"▁<extra_id_{i}>" for i in range(SENTINELS)])
        case "gemma":
            return _sentencepiece_bpe(metaspace=False)
        case "llama":
            return _sentencepiece_bpe(metaspace=True)


def _wordpiece():
    """Use words, letters and endings of the corpus: a trainer breaks ties differently in every process."""
    words = sorted(set(re.findall(r"[a-z]+", " ".join(CORPUS).lower())))
    letters = sorted({letter for line in CORPUS for letter in line.lower()} | {chr(i) for i in range(33, 127)})
    endings = sorted({word[-size:] for word in words for size in (2, 3, 4)})
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *words,
        *(f"##{end}" for end in letters + endings),
    ]
    vocabulary = {piece: at for at, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.add_special_tokens(pieces[:5])
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    _frame(made, "[CLS]", "[SEP]")
    return made.to_str(), {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
        "model_input_names": WITH_TYPES,
    }


def _byte_level(special, post_processor, vocab_size=600):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = post_processor or processors.ByteLevel(trim_offsets=False)
    return made.to_str()


def _roberta():
    special = [
        *["<s>", "<pad>", "</s>", "<unk>"],
        AddedToken("<mask>", lstrip=True, special=True, normalized=False),
    ]
    post_processor = processors.RobertaProcessing(sep=("</s>", 2), cls_token=("<s>", 0), add_prefix_space=False)
    return _byte_level(special, post_processor), {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": AddedToken("<mask>", lstrip=True, special=True, normalized=False),
    }


def _unigram(prepend_scheme, special, mask, frame):
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme)
    made.decoder = decoders.Metaspace(prepend_scheme=prepend_scheme)
    mask_token = AddedToken(mask, lstrip=True, special=True, normalized=False)
    trainer = trainers.UnigramTrainer(
        vocab_size=420,
        special_tokens=[*special, mask_token],
        unk_token="<unk>",
        initial_alphabet=[chr(i) for i in range(33, 127)],
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    made = Tokenizer.from_str(_scored_by_count(made.to_str()))
    _frame(made, *frame)
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": mask_token}
    return made.to_str(), names | {"cls_token": frame[0], "sep_token": frame[1], "bos_token": frame[0]}


def _t5(sentinels, pieces):
    """Make a tokenizer like T5's; its sentinels are special tokens, or pieces of the model."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=420,
        special_tokens=["<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        initial_alphabet=[chr(i) for i in range(33, 127)],
        show_progress=False,
    )
    made.train_from_iterator(CORPUS, trainer)
    definition = json.loads(_scored_by_count(made.to_str()))
    definition["model"]["vocab"] += [(piece, 0.0) for piece in reversed(pieces)]
    made = Tokenizer.from_str(json.dumps(definition))
    made.add_special_tokens(sentinels[::-1])
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", made.token_to_id("</s>"))]
    )
    return made.to_str(), {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def _sentencepiece_bpe(*, metaspace):
    """Write spaces as Gemma does, or with `metaspace` as Llama does, which puts one before every text."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"] if not metaspace else ["<unk>", "<s>", "</s>"]
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if metaspace:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    else:
        made.normalizer = normalizers.Replace(" ", "▁")
        made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    byte_tokens = [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=[*special, *byte_tokens],
        show_progress=False,
        max_token_length=12,
    )
    words = [word for line in CORPUS for word in re.findall(r" ?\w+|\W", line)]
    made.train_from_iterator(words, trainer)
    bos = "<s>" if metaspace else "<bos>"
    made.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, made.token_to_id(bos))]
    )
    state = made.to_str()
    # the bytes are ordinary tokens of the model; only the trainer needs them as special ones
    made = Tokenizer.from_str(_without_added(state, byte_tokens))
    if metaspace:
        return made.to_str(), {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return made.to_str(), {
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }


def _scored_by_count(state):
    """Score the pieces of a Unigram model by count: the scores of a trainer differ in every process."""
    definition = json.loads(state)
    special = len(definition["added_tokens"])
    text = "\n".join("▁" + line.replace(" ", "▁") for line in CORPUS)
    pieces = sorted(piece for piece, _ in definition["model"]["vocab"][special:])
    scores = [math.log((text.count(piece) + 0.5) / len(text)) for piece in pieces]
    definition["model"]["vocab"][special:] = zip(pieces, scores, strict=True)
    return json.dumps(definition)


def _without_added(state, names):
    definition = json.loads(state)
    definition["added_tokens"] = [t for t in definition["added_tokens"] if t["content"] not in names]
    return json.dumps(definition)


def _frame(made, first, last):
    made.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(name, made.token_to_id(name)) for name in (first, last)],
    )


def _config(architecture, vocabulary, depth):
    layers = {"num_hidden_layers": depth, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    common = {"vocab_size": vocabulary, "max_position_embeddings": 64}
    grouped = {**layers, "num_key_value_heads": 2, "head_dim": 8}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    match architecture:
        case "bert":
            return BertConfig(**layers, **common)
        case "roberta":
            return RobertaConfig(**layers, vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1)
        case "albert":
            return AlbertConfig(**layers, **common, embedding_size=24)
        case "distilbert":
            return DistilBertConfig(dim=32, hidden_dim=48, n_layers=depth, n_heads=4, **common)
        case "electra":
            return ElectraConfig(**layers, **common, embedding_size=24)
        case "deberta-v2":
            return DebertaV2Config(
                **layers, **common, relative_attention=True, pos_att_type=["p2c", "c2p"], position_biased_input=False
            )
        case "modernbert":
            return ModernBertConfig(
                **layers,
                **common,
                **ends,
                cls_token_id=1,
                sep_token_id=2,
                local_attention=8,
                global_attn_every_n_layers=2,
            )
        case "gpt2":
            return GPT2Config(
                vocab_size=vocabulary,
                n_positions=64,
                n_embd=32,
                n_layer=depth,
                n_head=4,
                bos_token_id=0,
                eos_token_id=0,
            )
        case "llama":
            return LlamaConfig(**grouped, **common, **ends)
        case "gemma3_text":
            return Gemma3TextConfig(
                **grouped,
                **common,
                **ends,
                sliding_window=8,
                layer_types=(["sliding_attention", "full_attention"] * depth)[:depth],
            )
        case "qwen3":
            return Qwen3Config(**grouped, **common, **ends)
        case "mistral":
            return MistralConfig(**grouped, **common, **ends, sliding_window=8)
        case "opt":
            return OPTConfig(
                **common,
                **ends,
                hidden_size=32,
                ffn_dim=48,
                num_hidden_layers=depth,
                num_attention_heads=4,
                word_embed_proj_dim=32,
            )
        case "t5" | "t5-gated" | "mt5":
            sizes = {
                "d_model": 32,
                "d_kv": 8,
                "d_ff": 48,
                "num_layers": depth,
                "num_heads": 4,
                "decoder_start_token_id": 0,
            }
            gated = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False} if architecture != "t5" else {}
            return (MT5Config if architecture == "mt5" else T5Config)(vocab_size=vocabulary, **sizes, **gated)
        case "bart" | "mbart":
            sides = {
                f"{side}_{name}": number
                for side in ("encoder", "decoder")
                for name, number in (("layers", depth), ("attention_heads", 4), ("ffn_dim", 48))
            }
            ends = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
            more = {"scale_embedding": True} if architecture == "mbart" else {}
            return (MBartConfig if more else BartConfig)(**common, **sides, **ends, d_model=32, **more)
        case "gpt_neox":
            return GPTNeoXConfig(**layers, **common)
        case "bloom":
            return BloomConfig(vocab_size=vocabulary, hidden_size=32, n_layer=depth, n_head=4)


def bert_decoder():
    """Make a BERT as a causal model, which has token types."""
    config = BertConfig(
        vocab_size=len(borrowed("wordpiece")),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=0.5,
        is_decoder=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertLMHeadModel(config).eval()
    return Backbone(model, tokenizer("wordpiece"), "x")
