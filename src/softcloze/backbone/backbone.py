"""A frozen pretrained model with its tokenizer."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from softcloze.backbone.batching import BATCH_TOKENS, tokens_per_batch
from softcloze.backbone.compatibility import MISSING, check_compatible, check_encoding, scores_close
from softcloze.backbone.family import AUTO, family_of, first_position, longest_prompt, per_layer_embedding
from softcloze.backbone.kv_cache import PrefixCache
from softcloze.backbone.packing import PACKED, Packing, pack, pack_evenly, worth_packing
from softcloze.backbone.seq2seq import decoder_inputs, decoder_start
from softcloze.encoding import PretrainedTokenizer, PromptTokenizer
from softcloze.errors import BackboneError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Outputs(NamedTuple):
    """What a model says at some places.

    Attributes:
        logits: raw scores before any softmax in float32, shape (batch, reads, words or vocab).
        states: what its output embedding reads there, in float32, shape (batch, reads, state width).
    """

    logits: Tensor
    states: Tensor


class Backbone:
    """A pretrained language model, held still, and its tokenizer.

    The model is borrowed: while it runs it is frozen and in evaluation mode, and afterwards every flag is
    as it was found. `sklearn.clone` returns the same backbone, so that a grid search shares one.

    Attributes:
        model: a transformers model with a masked, causal or seq2seq language-modelling head.
        tokenizer: its tokenizer, of which softcloze keeps a private copy.
        name: where it came from, as written into saved prompts.
        family: "masked", "causal" or "seq2seq".
        prompt_tokenizer: the private copy of the tokenizer.
        max_length: positions that the model takes.
        uses_token_types: whether tokenizer and model tell the two texts of a pair apart by token types.
        compiled: whether torch compiled the model's layers for scoring; see `compile`.

    Example:
        >>> from transformers import AutoModelForMaskedLM, AutoTokenizer
        >>> name = "bert-base-chinese"
        >>> backbone = Backbone(
        ...     AutoModelForMaskedLM.from_pretrained(name), AutoTokenizer.from_pretrained(name), name
        ... )  # doctest: +SKIP
    """

    def __init__(self, model: "PreTrainedModel", tokenizer: PretrainedTokenizer, name: str):
        """Take `model` and `tokenizer` as they are.

        Raises:
            BackboneError: the model has no language-modelling head of a known family, does not read vectors among
                words as it reads words (see `check_compatible`, for seq2seq models `check_encoding`), or it is a
                seq2seq model whose decoder begins with no known token.
            TokenizerError: the tokenizer is not backed by the tokenizers library.
        """
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.compiled = False
        self.family = family_of(model.config, tokenizer)
        self.prompt_tokenizer = PromptTokenizer(
            tokenizer, masked=self.family != "causal", decoder=self.family == "seq2seq"
        )
        if model.get_output_embeddings() is None:
            raise BackboneError(
                f"{type(model).__name__} has no language-modelling head; load {name!r} with {AUTO[self.family]}"
            )
        self._takes = set(inspect.signature(model.forward).parameters)
        # GPT-2 takes token types as well, but as words of its vocabulary; RoBERTa has only one
        several = getattr(model.config, "type_vocab_size", 0) > 1
        self.uses_token_types = several and self.prompt_tokenizer.has_token_types and "token_type_ids" in self._takes
        self._first_position = first_position(model)
        self._per_layer = per_layer_embedding(model)
        self.max_length = longest_prompt(model.config, tokenizer, self._first_position)
        self._check()

    def __sklearn_clone__(self) -> "Backbone":
        """Share the frozen model instead of copying it."""
        return self

    def __repr__(self) -> str:
        """Name, family and size."""
        return f"Backbone({self.name!r}, family={self.family!r}, parameters={self.parameters:,})"

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    @property
    def width(self) -> int:
        """Numbers in an input embedding."""
        return int(self.model.get_input_embeddings().weight.shape[-1])

    @property
    def state_width(self) -> int:
        """Numbers in a state that the output embedding reads."""
        return int(self.model.get_output_embeddings().weight.shape[-1])

    @property
    def parameters(self) -> int:
        """Weights of the model, tied ones counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def trace(self) -> int:
        """Bytes that a token leaves behind for gradients, roughly: what goes in and out of every linear layer."""
        return sum(sum(shape) for shape in self._layer_shapes) * int(self.model.dtype.itemsize)

    @cached_property
    def token_budget(self) -> int:
        """Tokens in a batch without gradient; on a processor by what the widest layer gives for each."""
        if self.device.type != "cpu":
            return BATCH_TOKENS
        return tokens_per_batch(max(map(max, self._layer_shapes), default=1), self.model.dtype.itemsize)

    @property
    def _layer_shapes(self) -> list[torch.Size]:
        """Of the weights of all linear layers but the output embedding."""
        others = {module.weight for module in self.model.modules() if isinstance(module, nn.Embedding)}
        others.add(self.model.get_output_embeddings().weight)
        return [own.shape for own in self.model.parameters() if own.dim() == 2 and own not in others]

    @property
    def attention(self) -> str:
        """The implementation of attention that the model runs with here: its own, or ours in the place of "sdpa"."""
        from softcloze.backbone.attention import OURS, use_custom_attention

        found: str = self.model.config._attn_implementation
        return OURS if self.family != "seq2seq" and use_custom_attention(self.model) else found

    @property
    def decoder_start(self) -> int | None:
        """The token with which the decoder of a seq2seq model begins; None for other families."""
        return decoder_start(self.model) if self.family == "seq2seq" else None

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """SHA-256 of the model's weights (a sample of each tensor, in bfloat16) and of its tokenizer.

        The sample makes it cheap; bfloat16 makes it the same for a model loaded in either precision.
        """
        digest = sha256()
        for name, parameter in sorted(self.model.named_parameters()):
            flat = parameter.detach().flatten()
            sample = flat[:: max(1, len(flat) // 4096)].to(torch.bfloat16).cpu()
            digest.update(f"{name}{tuple(parameter.shape)}".encode())
            digest.update(sample.view(torch.int16).numpy().tobytes())
        return {"model": digest.hexdigest(), "tokenizer": self.prompt_tokenizer.fingerprint}

    @cached_property
    def embedding_rms(self) -> float:
        """Root mean square of the numbers in the input embeddings, the yardstick for learning rates."""
        embeddings = self.model.get_input_embeddings()
        total = 0.0
        with torch.no_grad():
            for ids in torch.arange(len(embeddings.weight), device=self.device).split(8192):
                # through the module: some models scale inside it
                total += float(embeddings(ids).float().square().mean(-1).sum())
        return float((total / len(embeddings.weight)) ** 0.5)

    def compile(self) -> None:
        """Have torch compile the model's layers for scoring, in place; what is compiled already stays as it is.

        This and the first rows that are scored take longer, up to half a minute in all. Scores differ by rounding.

        Raises:
            BackboneError: the model marks no layers, or torch cannot compile them, above all without a C++ compiler.
        """
        from torch._dynamo.exc import TorchDynamoException

        from softcloze.backbone.torch_compile import compile_layers, undo

        if self.compiled:
            return
        layers = compile_layers(self.model, without=self._behind_attention)
        try:
            # what is missing should be told here, not when a long run begins
            with self.frozen(), torch.inference_mode():
                self.outputs([[0, 1, 2, 3, 1, 2, 3], [2, 1]], torch.tensor([[4], [1]]), sources=[(0, 1, 2), (3, 1)])
        except TorchDynamoException as error:
            undo(layers)
            raise BackboneError(
                f"cannot compile {self.name!r}: {error}\n"
                "torch needs a compiler for C++ and the headers of this Python (on Debian: g++ and python3-dev); "
                "without compile=True the model runs as it is written"
            ) from error
        self.compiled = True

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings of token ids, shape (*ids, width), without gradient, in the model's precision."""
        with torch.no_grad():
            embedded: Tensor = self.model.get_input_embeddings()(ids.to(self.device))
        return embedded

    def lm_head_rows(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows of the output embedding for token ids, shape (*ids, state width), and their biases, shape ids.

        In float32 on the CPU, without gradient; None for the biases of an output embedding that has none.
        """
        module = self.model.get_output_embeddings()
        ids = ids.to(self.device)
        bias = module.bias[ids].detach().float().cpu() if module.bias is not None else None
        return module.weight[ids].detach().float().cpu(), bias

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Hold the model still and in evaluation mode, then give it back as it was found."""
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        training = [module for module in self.model.modules() if module.training]
        config, found, used = self.model.config, self.model.config._attn_implementation, self.attention
        self.model.requires_grad_(False).eval()
        try:
            if used != found:
                config._attn_implementation = used
            yield
        finally:
            if used != found:
                config._attn_implementation = found
            for parameter in trainable:
                parameter.requires_grad_(True)
            for module in training:
                module.training = True

    def outputs(
        self,
        rows: Sequence[Sequence[int]],
        positions: Tensor,
        *,
        token_type_ids: Sequence[Sequence[int] | None] | None = None,
        sources: Sequence[tuple[int, ...]] = (),
        soft: Tensor | None = None,
        columns: Tensor | None = None,
        prefix: PrefixCache | None = None,
        behind: Sequence[int] = (),
    ) -> Outputs:
        """Word scores and states at some positions of some rows; the head runs on nothing else.

        Rows are padded on the right and beginnings on the left, with explicit position ids, so that the
        company a row keeps does not change its scores. Rows behind one beginning are packed where the model allows it.

        Args:
            rows: `batch` lists of ids; -1 - r stands for row r of `soft`. For a seq2seq model, the decoder's token ids.
            positions: places in the rows, shape (batch, reads).
            token_type_ids: token types of each row, None for a row of one type; for a model that `uses_token_types`.
            sources: for a seq2seq model, the ids that the encoder reads for each row; the same ones are read once.
            soft: the soft vectors, shape (soft, width).
            columns: vocabulary ids to score, shape (words,); all of them if None.
            prefix: what stands before rows, read earlier by `read`.
            behind: for each row the number of the beginning in `prefix` that it goes on from.
        """
        if prefix is not None:
            # in this order, for what is tried to find the room has one row behind each beginning
            shared = len(set(behind)) < len(behind)
            if shared and max(map(len, rows)) <= (room := self.packing_capacity(prefix)):
                return self._packed_outputs(pack(rows, behind, room), positions, soft, columns, prefix)
            prefix = prefix.rows(behind, room=max(map(len, rows)))
        elif worth_packing(rows) and max(map(len, rows)) <= (room := self.packing_capacity(None)):
            return self._packed_outputs(pack_evenly(rows, room), positions, soft, columns, None)
        if self.family == "seq2seq":
            number = {source: i for i, source in enumerate(dict.fromkeys(sources))}
            read = self._inputs(list(number), None, soft, None)
            inputs = decoder_inputs(self.model, read, [number[source] for source in sources], rows)
        else:
            inputs = self._inputs(rows, token_type_ids, soft, prefix)
        if prefix is not None:
            inputs["past_key_values"] = prefix.cache(self.device)
        if "use_cache" in self._takes:
            inputs["use_cache"] = prefix is not None
        return self._head_at(torch.arange(len(rows)), positions, columns, inputs)

    def _packed_outputs(
        self,
        packing: Packing,
        positions: Tensor,
        soft: Tensor | None,
        columns: Tensor | None,
        prefix: PrefixCache | None,
    ) -> Outputs:
        """As `outputs`, of rows that are packed."""
        places, sees = packing.depths + self._first_position, packing.sees
        if prefix is not None:
            prefix = prefix.rows(packing.beginnings, room=sees.shape[1])
            places += prefix.lengths[:, None]
            sees = torch.cat([prefix.real()[:, None].expand(-1, sees.shape[1], -1), sees], dim=-1)
        inputs = self._inputs(packing.ids, None, soft, prefix)
        hidden = ~sees[:, None].to(self.device)
        lowest = torch.finfo(self.model.dtype).min  # the form that every kind of attention takes
        mask = torch.zeros(hidden.shape, dtype=self.model.dtype, device=self.device).masked_fill(hidden, lowest)
        inputs |= {"position_ids": places.to(self.device), "attention_mask": mask, "use_cache": prefix is not None}
        if prefix is not None:
            inputs["past_key_values"] = prefix.cache(self.device)
        return self._head_at(packing.tree, packing.place.gather(1, positions), columns, inputs)

    def read(
        self, rows: Sequence[Sequence[int]], soft: Tensor | None = None, prefix: PrefixCache | None = None
    ) -> PrefixCache:
        """Keys and values of a shared prefix, without gradient; for causal models with `supports_prefix_cache`.

        Args:
            rows: lists of ids as in `outputs`.
            soft: the soft vectors, shape (soft, width).
            prefix: what stands before each row, read earlier; the result has it in front.
        """
        from softcloze.backbone.attention import PrefixKVCache

        cache = PrefixKVCache()
        if prefix is not None:
            prefix = prefix.rows(range(len(rows)), room=max(map(len, rows)))
            cache = prefix.cache(self.device)
        with torch.no_grad():
            inputs = self._inputs(rows, None, soft, prefix)
            inputs |= {"past_key_values": cache, "use_cache": True}
            nothing = torch.empty(0, dtype=torch.long)
            self._head_at(nothing, nothing.view(0, 1), torch.tensor([0]), inputs)
        added = torch.tensor([len(row) for row in rows])
        before = prefix.padded_length if prefix is not None else 0
        lengths = added + prefix.lengths if prefix is not None else added
        longest = int(lengths.max())
        # from padding on the right to padding on the left
        source = torch.arange(longest) - longest + before + added[:, None]
        source = source.clamp(min=0).to(self.device)[:, None, :, None]

        def aligned(tensor: Tensor) -> Tensor:
            return tensor.gather(2, source.expand(-1, tensor.shape[1], -1, tensor.shape[3]))

        return PrefixCache(tuple((aligned(layer.keys), aligned(layer.values)) for layer in cache.layers), lengths)

    @property
    def supports_prefix_cache(self) -> bool:
        """Whether the model gives the same scores when it reads a row in two parts."""
        return not self.prefix_cache_reason

    @cached_property
    def prefix_cache_reason(self) -> str:
        """Why the model has to read a row as a whole; empty where it `supports_prefix_cache` it in two parts.

        Found by trying, since some architectures remember in other ways than by keys and values.
        """
        if self.family != "causal":
            return f"a {self.family} model reads every word in the light of those behind it"
        if self.uses_token_types:
            return "token types of a beginning are not remembered"
        with self.frozen(), torch.no_grad():
            whole = self.outputs([[0, 1, 2, 3, 1], [1, 2]], torch.tensor([[4], [1]])).logits
            try:
                prefix = PrefixCache.join([self.read([[0, 1, 2]]), self.read([[1]])])
                split = self.outputs([[3, 1], [2]], torch.tensor([[1], [0]]), prefix=prefix, behind=[0, 1]).logits
            except MISSING as error:
                return f"tried in two parts it raised {type(error).__name__}: {error}"
        # the shorter beginning has padding in front, which not every model leaves out in counting positions
        same = all(scores_close(*both, self.model.dtype) for both in zip(split, whole, strict=True))
        return "" if same else "tried in two parts it gave other scores"

    def packing_capacity(self, prefix: PrefixCache | None) -> int:
        """Tokens of rows that may be packed in one behind a beginning, or behind nothing; 0 where rows stay apart."""
        known = prefix.padded_length if prefix is not None else 0
        # a mask of our own says nothing of a layer's window, so all has to fit in it
        return max(0, min(PACKED, self._window - known)) if self.can_pack else 0

    @cached_property
    def can_pack(self) -> bool:
        """Whether the model gives the same scores when rows that do not see each other are packed in one.

        Found by trying, since some architectures count positions, or see what is before them, in ways of their own.
        """
        if not self.supports_prefix_cache or "position_ids" not in self._takes:
            return False
        rows, positions = [[3, 1], [3, 2, 4], [2]], torch.tensor([[1], [2], [0]])
        with self.frozen(), torch.no_grad():
            prefix = PrefixCache.join([self.read([[0, 1, 2]]), self.read([[1]])])
            apart = self.outputs(rows, positions, prefix=prefix.rows([0, 0, 1]), behind=[0, 1, 2]).logits
            try:
                packed = self._packed_outputs(pack(rows, [0, 0, 1], PACKED), positions, None, None, prefix).logits
            except MISSING:
                return False
        return scores_close(apart, packed, self.model.dtype)

    @cached_property
    def _window(self) -> int:
        """The longest row in which every layer sees all that stands before a place."""
        config = self.model.config.get_text_config().to_dict()
        # not how many layers have one (max_window_layers), nor which (sliding_window_pattern)
        windows = [value for name, value in config.items() if name.endswith(("window", "window_size", "chunk_size"))]
        return min([self.max_length, *(size for size in windows if isinstance(size, int) and size > 1)])

    def _inputs(
        self,
        rows: Sequence[Sequence[int]],
        token_type_ids: Sequence[Sequence[int] | None] | None,
        soft: Tensor | None,
        prefix: PrefixCache | None,
    ) -> dict[str, Any]:
        """Embeddings, token types, attention mask and position ids of `rows` behind `prefix`."""
        lengths = torch.tensor([len(row) for row in rows])
        place = torch.arange(int(lengths.max())).expand(len(rows), -1)
        real = place < lengths[:, None]
        ids = torch.zeros(place.shape, dtype=torch.long)
        ids[real] = torch.tensor([i for row in rows for i in row])
        ids = ids.to(self.device)
        embedded = self.embed(ids.clamp(min=0))
        if soft is not None:
            slots = (ids < 0).flatten().nonzero()[:, 0]
            own = soft.index_select(0, -1 - ids.flatten()[slots]).to(embedded.dtype)
            embedded = embedded.flatten(0, 1).index_copy(0, slots, own).view_as(embedded)
        inputs: dict[str, Any] = {"inputs_embeds": embedded}
        if self._per_layer is not None:
            inputs["per_layer_inputs"] = self._per_layer(ids)
        if self.uses_token_types and token_type_ids is not None:
            segments = torch.zeros(place.shape, dtype=torch.long)
            filled = [own if own is not None else [0] * len(row) for row, own in zip(rows, token_type_ids, strict=True)]
            segments[real] = torch.tensor([segment for own in filled for segment in own])
            inputs["token_type_ids"] = segments.to(self.device)
        if prefix is not None:
            place = place + prefix.lengths[:, None]
            real = torch.cat([prefix.real(), real], dim=1)
        inputs["attention_mask"] = real.to(self.device, torch.long)
        if "position_ids" in self._takes:
            inputs["position_ids"] = (place + self._first_position).to(self.device)
        return inputs

    def _check(self) -> None:
        """Refuse a model that cannot be fed as we feed it."""
        padding = getattr(self.model.config.get_text_config(), "pad_token_id", None)
        special = {*self.tokenizer.all_special_ids, padding}
        known = min(len(self.tokenizer), len(self.model.get_output_embeddings().weight))
        ordinary = [i for i in range(known) if i not in special]
        ids = ordinary[len(ordinary) // 2 :][:4]
        with self.frozen(), torch.no_grad():
            if self.family != "seq2seq":
                check_compatible(self.model, self.family, ids, lambda rows, soft: self._inputs(rows, None, soft, None))
                return
            if self.decoder_start is None:
                raise BackboneError(
                    f"{self.name!r} does not say with which token its decoder begins; set "
                    "model.config.decoder_start_token_id, for mBART to the id of the language's token"
                )
            check_encoding(self.model, self.decoder_start, ids, self._answers)

    def _answers(self, rows: Sequence[Sequence[int]], sources: Sequence[tuple[int, ...]]) -> Tensor:
        """All scores at all places of rows of one length, shape (batch, length, vocab)."""
        places = torch.arange(len(rows[0])).expand(len(rows), -1)
        return self.outputs(rows, places, sources=sources).logits

    def _head_at(self, rows: Tensor, positions: Tensor, columns: Tensor | None, inputs: dict[str, Any]) -> Outputs:
        """Run the model with its output embedding on `positions` of `rows` and, where it can be cut, `columns` alone.

        The hook sits on the output embedding itself, not on the base model: this needs no knowledge of how an
        architecture nests its decoder. What comes between, BERT's dense layer and where it can be found the last
        layer behind its attention, is run on these positions alone as well.
        """
        states = torch.empty(0)
        rows, positions = rows.to(self.device), positions.to(self.device)
        head = self.model.get_output_embeddings()
        first = self._behind_attention if self._behind_attention is not None else head

        def at_positions(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(hidden[rows[:, None], positions] for hidden in args)

        def keep(_: nn.Module, args: tuple[Tensor]) -> None:
            nonlocal states
            (states,) = args

        cut = self._cut_head(columns) if columns is not None and self._can_cut_head else None
        # in this order, for both may sit on the head
        hooks = [first.register_forward_pre_hook(at_positions), head.register_forward_pre_hook(keep)]
        try:
            if cut is not None:
                logits = functional_call(self.model, cut, (), inputs, tie_weights=False).logits
            else:
                logits = self.model(**inputs).logits
        finally:
            for hook in hooks:
                hook.remove()
        if columns is not None and cut is None:
            logits = logits[..., columns.to(self.device)]
        return Outputs(logits.float(), states.float())

    @cached_property
    def _behind_attention(self) -> nn.Module | None:
        """What follows attention in the last layer of models that are built as BERT is; None for others.

        From there on each place is read by itself. It takes what attention gives and what went into it. Found by
        trying, since a model may look at other places later.
        """
        if self.family != "masked":
            return None
        found = [module for name, module in self.model.named_modules() if name.endswith("attention.output")]
        if not found:
            return None
        inputs = {"input_ids": torch.tensor([[0, 1, 2, 3]], device=self.device)}

        def second(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(hidden[:, 1:2] for hidden in args)

        with self.frozen(), torch.no_grad():
            whole = self.model(**inputs).logits[:, 1:2]
            hook = found[-1].register_forward_pre_hook(second)
            try:
                alone = self.model(**inputs).logits
            except RuntimeError:  # shapes that do not agree
                return None
            finally:
                hook.remove()
        return found[-1] if scores_close(alone, whole, self.model.dtype) else None

    def _cut_head(self, columns: Tensor) -> dict[str, Tensor]:
        """The output embedding's parameters with only the rows of `columns`, by their names in the model."""
        parameters = self.model.get_output_embeddings().named_parameters()
        return {f"{self._head_name}.{name}": parameter[columns.to(self.device)] for name, parameter in parameters}

    @cached_property
    def _head_name(self) -> str:
        """The output embedding's name in the model; the names of tied weights do not tell it."""
        module = self.model.get_output_embeddings()
        names: dict[nn.Module, str] = {part: name for name, part in self.model.named_modules(remove_duplicate=False)}
        return names[module]

    @cached_property
    def _can_cut_head(self) -> bool:
        """Whether the head still gives the same scores when its output embedding has some rows only.

        Found by trying: a head may add a bias of vocabulary size, or use the embeddings in another place.
        """
        columns = torch.tensor([1, 0, 2])
        ids = torch.tensor([[0, 1, 2, 3]], device=self.device)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self.family == "seq2seq":
            inputs["decoder_input_ids"] = ids
        with self.frozen(), torch.no_grad():
            full = self.model(**inputs).logits[..., columns]
            try:
                cut = functional_call(self.model, self._cut_head(columns), (), inputs, tie_weights=False).logits
            except RuntimeError:  # shapes that no longer agree
                return False
        return scores_close(cut, full, self.model.dtype)
