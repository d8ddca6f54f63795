"""The layers of a model, found by trying, and hooks that change the hidden states in front of each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from torch import Tensor, nn

from softcloze.backbone.locking import lock_of
from softcloze.errors import BackboneError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEXTS = [(0, 1, 2, 3), (3, 2, 1, 1)]  # token ids by which layers are found
# share of the difference of two texts that may be left by rounding, once their hidden states are exchanged
CARRIED = 0.05
# a layer's index and the hidden states that it is given, shape (batch, length, width) -> those that it takes instead
Change: TypeAlias = Callable[[int, Tensor], Tensor]


class _Call(NamedTuple):
    """One call of a module, with the width of the hidden states that it is given."""

    module: nn.Module
    width: int


class Layers:
    """The layers through which the hidden states of a model, or of a seq2seq model's encoder, pass one after the other.

    Attributes:
        count: their number. A model like ALBERT runs one module several times, and each run counts.
        width: width of the hidden states.
    """

    def __init__(self, model: "PreTrainedModel", calls: "Sequence[_Call]", results: Mapping[nn.Module, int]):
        """Take the calls of the layers in a forward pass, and the length of the tuple that each module returns."""
        self._model = model
        self._modules = tuple(dict.fromkeys(call.module for call in calls))
        self._results = results[calls[0].module]
        self.count, self.width = len(calls), calls[0].width

    @contextmanager
    def changing(self, change: Change, only: int | None = None) -> Iterator[None]:
        """Pass hidden states in front of layers through `change`, for one forward pass in a `with` block.

        Args:
            change: takes the index of a layer and the states in front of it.
            only: index of the one layer that is concerned; None for all.
        """
        by_itself = only is not None and len(self._modules) == self.count  # no other layer runs its module
        modules = self._modules[only : only + 1] if only is not None and by_itself else self._modules
        caller, calls = get_ident(), count(only if only is not None and by_itself else 0)

        def changed(states: Tensor) -> Tensor:
            layer = next(calls)
            return change(layer, states) if only in (None, layer) else states

        def hook(_: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            if get_ident() == caller:  # other threads that run the model meanwhile are not concerned
                if args:
                    args = (changed(args[0]), *args[1:])
                else:
                    inputs = inputs | {"hidden_states": changed(inputs["hidden_states"])}
            return args, inputs

        with lock_of(self._model):
            hooks = [module.register_forward_pre_hook(hook, with_kwargs=True) for module in modules]
            try:
                yield
            finally:
                for registered in hooks:
                    registered.remove()

    @contextmanager
    def skipping(self, skipped: range) -> Iterator[None]:
        """Have some layers return the hidden states that they are given, for one forward pass in a `with` block.

        They still run one after the other, for a model may pick its masks by the index of a layer.
        """
        caller, calls = get_ident(), count()

        def run(forward: Callable[..., Any], *args: Any, **inputs: Any) -> object:  # noqa: ANN401
            if get_ident() != caller or next(calls) not in skipped:
                return forward(*args, **inputs)
            states = args[0] if args else inputs["hidden_states"]
            return states if not self._results else (states, *[None] * (self._results - 1))

        with lock_of(self._model):
            before = [(module, module.__dict__.get("forward")) for module in self._modules]
            for module in self._modules:
                module.forward = partial(run, module.forward)
            try:
                yield
            finally:
                for module, forward in before:
                    del module.forward
                    if forward is not None:
                        module.forward = forward


def find_layers(model: "PreTrainedModel", run: Callable[[], Tensor]) -> Layers:
    """Find the layers of a model by running it.

    Most architectures derive them from one class of transformers. In others they are the outermost modules of one
    class that are called as often as the configuration has layers.

    Args:
        model: a frozen model.
        run: a forward pass over `TEXTS`, and its scores, of which the first half belongs to the first text.

    Raises:
        BackboneError: no modules are called in this way, or the scores depend on more than the hidden states in front
            of a layer, so that the vectors of a soft slot cannot enter there.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer  # slow to import

    expected = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    calls, results = _calls(_stack(model), run)
    marked = [call for call in calls if isinstance(call.module, GradientCheckpointingLayer)]
    inner = {child for call in marked for child in call.module.modules() if child is not call.module}
    candidates = [[call for call in marked if call.module not in inner]]
    kinds = dict.fromkeys(type(call.module) for call in calls)
    candidates += [[call for call in calls if type(call.module) is kind] for kind in kinds]
    for candidate in candidates:
        if candidate and len(candidate) == (expected if expected is not None else len(candidates[0])):
            layers = Layers(model, candidate, results)
            if all(_carries_the_text(layers, layer, run) for layer in {0, layers.count - 1}):
                return layers
    raise BackboneError(
        f"{type(model).__name__} has no layers between which hidden states alone pass on the text, so that soft "
        "vectors cannot enter there; leave layers= out of the template, or take another model, such as BERT or Llama"
    )


def _stack(model: "PreTrainedModel") -> nn.Module:
    """The part of a model that takes soft slots."""
    stack: nn.Module = model.get_encoder() if model.config.is_encoder_decoder else model
    return stack


def _calls(stack: nn.Module, run: Callable[[], Tensor]) -> tuple[list[_Call], dict[nn.Module, int]]:
    """Calls of modules with children that are given hidden states, and the length of the tuple that each returns.

    The length is 0 for a module that returns a tensor.
    """
    calls: list[_Call] = []
    results: dict[nn.Module, int] = {}

    def record(module: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        states = args[0] if args else inputs.get("hidden_states")
        # some models pad texts inside, or have the width before the length
        if isinstance(states, Tensor) and states.dim() == 3 and states.shape[:2] == (len(TEXTS), len(TEXTS[0])):
            calls.append(_Call(module, states.shape[-1]))

    def measure(module: nn.Module, _: object, output: object) -> None:
        results[module] = len(output) if isinstance(output, tuple) else 0

    inside = [module for module in stack.modules() if module is not stack and any(True for _ in module.children())]
    hooks = [module.register_forward_pre_hook(record, with_kwargs=True) for module in inside]
    hooks += [module.register_forward_hook(measure) for module in inside]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return calls, results


def _carries_the_text(layers: Layers, layer: int, run: Callable[[], Tensor]) -> bool:
    """Return True if a text scores like the other one once it has its hidden states in front of a layer."""

    def exchange(index: int, states: Tensor) -> Tensor:
        return states.flip(0) if index == layer else states

    first, second = run().chunk(2)
    with layers.changing(exchange):
        exchanged, _ = run().chunk(2)
    gap, rest = float((first - second).abs().max()), float((exchanged - second).abs().max())
    return gap > 0 and rest <= CARRIED * gap
