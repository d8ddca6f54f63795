"""The runnables of `softcloze.integrations.langchain`. This module imports LangChain, which is an extra."""

# ruff: noqa: ANN401 - inputs and outputs are of any kind
import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import run_in_executor

from softcloze.classifiers import Prediction, WrittenRow
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import quoted_list
from softcloze.integrations.examples import OUTPUT, as_example, predict_each, write_each
from softcloze.parameters import validate_parameters


class BatchRunnable(RunnableSerializable[Any, Any]):
    """A runnable that computes any number of outputs in one call of `outputs`."""

    def outputs(self, inputs: Sequence[Any], **options: Any) -> list[Any]:
        """The output for each input, or a DataError in its place."""
        raise NotImplementedError

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        """The output for one input; raises DataError if it has none."""
        return self._call_with_config(self._output, input, config, **options)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        """As `invoke`, in a thread."""

        async def call(value: Any) -> Any:
            return await run_in_executor(None, self._output, value, **options)

        return await self._acall_with_config(call, input, config)

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """The output for each input, in one batch; raises the first DataError unless `return_exceptions`."""
        outputs: list[Any] = self._batch_with_config(
            self._outputs, inputs, config, return_exceptions=return_exceptions, **options
        )
        return outputs

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """As `batch`, in a thread."""

        async def call(values: list[Any]) -> list[Any]:
            found: list[Any] = await run_in_executor(None, self._outputs, values, **options)
            return found

        outputs: list[Any] = await self._abatch_with_config(call, inputs, config, return_exceptions=return_exceptions)
        return outputs

    def _output(self, value: Any, **options: Any) -> Any:
        (output,) = self.outputs([value], **options)
        if isinstance(output, DataError):
            raise output
        return output

    def _outputs(self, values: list[Any], **options: Any) -> list[Any]:
        """As `outputs`, where errors name the index of their input."""
        outputs = self.outputs(values, **options)
        return [
            DataError(f"inputs[{i}]: {output}") if isinstance(output, DataError) else output
            for i, output in enumerate(outputs)
        ]


class ClassifierRunnable(BatchRunnable):
    """A classifier as a runnable; made by `as_runnable`."""

    classifier: Any
    output: Literal["label", "probabilities"] = "label"

    def outputs(self, inputs: Sequence[Any], **options: Any) -> list[Any]:
        """The label of each input, or its probabilities; `output` is the one option."""
        output = options.pop("output", self.output)
        if options:
            raise ParameterError(f"a classifier has no option {quoted_list(options)}, only 'output'")
        validate_parameters({"output": output}, {"output": OUTPUT})
        predictions = predict_each(self.classifier, inputs)
        if output == "label":
            return [row.label if isinstance(row, Prediction) else row for row in predictions]
        labels = self.classifier.classes_.tolist()
        return [
            dict(zip(labels, row.probabilities or (), strict=True)) if isinstance(row, Prediction) else row
            for row in predictions
        ]


class GeneratorRunnable(BatchRunnable):
    """A generator as a runnable; made by `as_runnable`."""

    generator: Any

    def outputs(self, inputs: Sequence[Any], **options: Any) -> list[Any]:
        """The text for each input; options are those of writing."""
        rows = write_each(self.generator, inputs, **options)
        return [row.text if isinstance(row, WrittenRow) else row for row in rows]

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[str]:
        """The pieces of the text for one input; closing the iterator stops the model."""

        def pieces(values: Iterator[Any]) -> Iterator[str]:
            yield from self.generator.stream(as_example(next(values)), **options)

        yield from self._transform_stream_with_config(iter([input]), pieces, config)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[str]:
        """As `stream`; waits for pieces in a thread."""

        async def values() -> AsyncIterator[Any]:
            yield input

        async def pieces(given: AsyncIterator[Any]) -> AsyncIterator[str]:
            example = as_example(await anext(given))
            stream = await run_in_executor(None, self.generator.stream, example, **options)
            pending: asyncio.Future[str | None] | None = None
            try:
                while True:
                    pending = asyncio.ensure_future(run_in_executor(None, next, stream, None))
                    piece = await asyncio.shield(pending)
                    if piece is None:
                        return
                    yield piece
            finally:
                if pending is not None:  # an iterator that is running in a thread cannot be closed
                    await asyncio.wait([pending])
                await run_in_executor(None, stream.close)

        async for piece in self._atransform_stream_with_config(values(), pieces, config):
            yield piece
