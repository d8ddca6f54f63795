"""Runnables of LangChain: the answers of direct calls, one batch for a batch, and all that chains do with them."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sklearn.exceptions import NotFittedError
from support import models
from support.three_labels import TEXTS, WORDS

from softcloze import MultiLabelPromptClassifier, PromptClassifier, PromptEnsemble, PromptGenerator
from softcloze.errors import DataError, ParameterError
from softcloze.integrations.langchain import as_runnable
from softcloze.prompt import BoundPrompt

pytest.importorskip("langchain_core")

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    RunnableBranch,
    RunnableLambda,
    RunnablePassthrough,
    RunnableSerializable,
)


@pytest.fixture(scope="module")
def generator():
    return PromptGenerator(models.new_backbone("llama"), "<text> In all: <answer max=8>")


def probabilities(clf, X):
    return [dict(zip(clf.classes_.tolist(), row, strict=True)) for row in clf.predict_proba(X).tolist()]


@pytest.fixture
def calls(monkeypatch):
    """The number of examples in each call of the model."""
    sizes, features = [], BoundPrompt.features

    def counted(self, prompts):
        sizes.append(len(prompts))
        return features(self, prompts)

    monkeypatch.setattr(BoundPrompt, "features", counted)
    return sizes


def test_a_batch_is_one_call_and_equals_direct_calls(clf, calls):
    expected, labels = probabilities(clf, TEXTS), clf.predict(TEXTS).tolist()
    calls.clear()
    assert as_runnable(clf).batch(TEXTS) == labels
    assert as_runnable(clf, "probabilities").batch(TEXTS, {"max_concurrency": 4}) == expected
    assert asyncio.run(as_runnable(clf, output="probabilities").abatch(TEXTS)) == expected
    assert calls == [64, 64, 64]
    assert as_runnable(clf).batch([]) == []
    assert {*labels} == {*WORDS}


def test_one_input_equals_a_direct_call_in_plain_types(clf):
    runnable = as_runnable(clf, "probabilities")
    (expected,) = probabilities(clf, TEXTS[:1])
    assert runnable.invoke(TEXTS[0]) == asyncio.run(runnable.ainvoke(TEXTS[0])) == expected
    assert [*runnable.stream(TEXTS[0])] == [expected]
    label = as_runnable(clf).invoke(TEXTS[0])
    assert type(label) is str
    assert label == clf.predict(TEXTS[:1])[0]
    assert {type(value) for value in expected.values()} == {float}


def test_labels_that_are_integers_stay_integers(backbone):
    clf = PromptClassifier(backbone, "<text> It was <mask>", {0: "bad", 1: "good"})
    label = as_runnable(clf).invoke(TEXTS[0])
    assert type(label) is int
    assert [*as_runnable(clf, "probabilities").invoke(TEXTS[0])] == [0, 1]


@pytest.mark.parametrize(
    "value",
    [
        {"text": TEXTS[1], "other": 3},
        HumanMessage(TEXTS[1]),
        AIMessage(TEXTS[1]),
        HumanMessage([{"type": "text", "text": TEXTS[1]}, {"type": "image", "url": "https://example.org/a.png"}]),
        [SystemMessage("Be kind."), HumanMessage("before"), HumanMessage(TEXTS[1]), AIMessage("after")],
        PromptTemplate.from_template("{it}").invoke({"it": TEXTS[1]}),
        ChatPromptTemplate.from_messages([("system", "Be kind."), ("human", "{it}")]).invoke({"it": TEXTS[1]}),
    ],
)
def test_inputs(value, clf):
    assert as_runnable(clf, "probabilities").invoke(value) == probabilities(clf, [TEXTS[1]])[0]


def test_text_in_messages_is_data(clf):
    text = "<mask> [MASK] {{ text }} <text> {text}"
    assert as_runnable(clf, "probabilities").invoke([HumanMessage(text)]) == probabilities(clf, [text])[0]


@pytest.mark.parametrize("value", [None, 3, [], ["a text"], [AIMessage("Hello.")], {"title": "A"}, {"text": None}])
def test_an_input_that_cannot_be_scored_is_an_error(value, clf):
    for runnable in (as_runnable(clf), as_runnable(clf, "probabilities")):
        with pytest.raises(DataError, match=r"expected a text|of a human|no field 'text'|'text' is None"):
            runnable.invoke(value)
        with pytest.raises(DataError, match=r"^inputs\[0\]: "):
            runnable.batch([value])


@pytest.mark.parametrize("asynchronous", [False, True])
def test_errors_are_per_row(asynchronous, clf, calls):
    values = [TEXTS[0], None, TEXTS[1], {"title": "A"}, TEXTS[2]]
    runnable = as_runnable(clf, "probabilities")

    def batch(**options):
        return asyncio.run(runnable.abatch(values, **options)) if asynchronous else runnable.batch(values, **options)

    found = batch(return_exceptions=True)
    assert calls == [3]
    assert [found[0], found[2], found[4]] == probabilities(clf, TEXTS[:3])
    assert isinstance(found[1], DataError)
    assert str(found[3]).startswith("inputs[3]: no field 'text'")
    with pytest.raises(DataError, match=r"^inputs\[1\]: expected a text.*found NoneType"):
        batch()


def test_threads_give_what_one_gives(clf):
    runnable = as_runnable(clf, "probabilities")
    serial = [runnable.invoke(text) for text in TEXTS]
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(runnable.invoke, TEXTS)] == serial
    together = RunnableLambda(runnable.invoke)  # whose batch is a pool of threads
    assert together.batch(TEXTS) == serial


def test_the_event_loop_stays_free(clf):
    async def ticks_during(work):
        ticks, task = 0, asyncio.ensure_future(work)
        while not task.done():
            await asyncio.sleep(0.001)
            ticks += 1
        await task
        return ticks

    assert asyncio.run(ticks_during(as_runnable(clf).abatch(TEXTS * 8))) > 3


class Runs(BaseCallbackHandler):
    """A record of the runs that a callback sees."""

    def __init__(self):
        self.started, self.ended, self.failed = [], [], []

    def on_chain_start(self, serialized, inputs, **kwargs):
        self.started.append((kwargs.get("name"), inputs))

    def on_chain_end(self, outputs, **kwargs):
        self.ended.append(outputs)

    def on_chain_error(self, error, **kwargs):
        self.failed.append(str(error))


class AsyncRuns(AsyncCallbackHandler, Runs):
    """The same, awaited."""

    async def on_chain_start(self, serialized, inputs, **kwargs):
        Runs.on_chain_start(self, serialized, inputs, **kwargs)

    async def on_chain_end(self, outputs, **kwargs):
        Runs.on_chain_end(self, outputs, **kwargs)

    async def on_chain_error(self, error, **kwargs):
        Runs.on_chain_error(self, error, **kwargs)


@pytest.mark.parametrize("kind", [Runs, AsyncRuns])
def test_callbacks_see_each_row(kind, clf):
    runnable, runs = as_runnable(clf, name="tone"), kind()
    values, config = [TEXTS[0], None, TEXTS[1]], {"callbacks": [runs], "run_name": None}
    if kind is Runs:
        runnable.batch(values, config, return_exceptions=True)
        label = runnable.invoke(TEXTS[2], config)
    else:
        asyncio.run(runnable.abatch(values, config, return_exceptions=True))
        label = asyncio.run(runnable.ainvoke(TEXTS[2], config))
    assert runs.started == [("tone", value) for value in [*values, TEXTS[2]]]
    assert runs.ended == [*clf.predict(TEXTS[:2]), label]
    assert len(runs.failed) == 1


def test_each_row_has_its_configuration(clf):
    runs = [Runs(), Runs()]
    as_runnable(clf).batch(TEXTS[:2], [{"callbacks": [run]} for run in runs])
    assert [run.started for run in runs] == [[("ClassifierRunnable", text)] for text in TEXTS[:2]]


def test_chains(clf, calls):
    prompt = PromptTemplate.from_template("Review: {review}")
    chain = prompt | as_runnable(clf) | str.upper
    texts = [f"Review: {text}" for text in TEXTS]
    expected = [label.upper() for label in clf.predict(texts)]
    calls.clear()
    assert chain.batch([{"review": text} for text in TEXTS]) == expected
    assert calls == [64]
    assert [*chain.stream({"review": TEXTS[0]})] == expected[:1]
    assigned = RunnablePassthrough.assign(label=as_runnable(clf)).invoke({"text": TEXTS[0], "id": 7})
    assert assigned == {"text": TEXTS[0], "id": 7, "label": clf.predict([TEXTS[0]])[0]}


def test_routing(clf):
    reply = RunnableBranch(
        (lambda x: x["label"] == "positive", lambda x: "Thank you!"),
        (lambda x: x["label"] == "negative", lambda x: "We are sorry."),
        lambda x: "Tell us more.",
    )
    chain = RunnablePassthrough.assign(label=as_runnable(clf)) | reply
    answers = {"positive": "Thank you!", "negative": "We are sorry.", "mixed": "Tell us more."}
    rows = [{"text": text} for text in TEXTS]
    assert chain.batch(rows) == [answers[label] for label in clf.predict(TEXTS)]


def test_retries_and_fallbacks_keep_the_good_rows(clf):
    values = [TEXTS[0], None, TEXTS[1]]
    spare = as_runnable(clf).with_fallbacks([RunnableLambda(lambda value: "unknown")])
    assert spare.batch(values) == [clf.predict(TEXTS[:1])[0], "unknown", clf.predict(TEXTS[1:2])[0]]
    tried = as_runnable(clf).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    found = tried.batch(values, return_exceptions=True)
    assert [found[0], found[2]] == clf.predict(TEXTS[:2]).tolist()
    assert isinstance(found[1], DataError)


def test_options_of_one_call(clf, backbone):
    (expected,) = probabilities(clf, TEXTS[:1])
    runnable = as_runnable(clf)
    assert runnable.bind(output="probabilities").invoke(TEXTS[0]) == expected
    switched = runnable.configurable_fields(output=ConfigurableField(id="output"))
    assert switched.with_config(configurable={"output": "probabilities"}).batch(TEXTS[:1]) == [expected]
    other = PromptClassifier(backbone, "In all, <mask>: <text>", {"yes": "good", "no": "bad"})
    prompts = runnable.configurable_alternatives(
        ConfigurableField(id="prompt"), default_key="tone", verdict=as_runnable(other)
    )
    assert prompts.invoke(TEXTS[0]) == clf.predict(TEXTS[:1])[0]
    found = prompts.invoke(TEXTS[0], {"configurable": {"prompt": "verdict"}})
    assert found == other.predict(TEXTS[:1])[0]
    with pytest.raises(ParameterError, match="no option 'stop'"):
        runnable.invoke(TEXTS[0], stop=["a"])
    with pytest.raises(ParameterError, match="output='labels'"):
        runnable.bind(output="labels").invoke(TEXTS[0])


def test_names_drawings_and_serialisation(clf):
    chain = PromptTemplate.from_template("{it}") | as_runnable(clf, name="tone")
    assert "tone" in chain.get_graph().draw_mermaid()
    assert as_runnable(clf).get_name() == "ClassifierRunnable"
    assert isinstance(as_runnable(clf), RunnableSerializable)
    assert dumpd(as_runnable(clf))["type"] == "not_implemented"  # a model is no JSON
    events = asyncio.run(events_of(chain, {"it": TEXTS[0]}))
    assert {"tone"} <= {event["name"] for event in events}


async def events_of(chain, value):
    return [event async for event in chain.astream_events(value, version="v2")]


def test_ensembles(clf, backbone):
    ensemble = PromptEnsemble([clf, PromptClassifier(backbone, "In all, <mask>: <text>", WORDS)])
    ensemble.fit(TEXTS, clf.predict(TEXTS))
    runnable = as_runnable(ensemble, "probabilities")
    assert runnable.batch(TEXTS) == probabilities(ensemble, TEXTS)


def test_a_generator_writes(generator):
    runnable = as_runnable(generator)
    texts = generator.predict(TEXTS[:5]).tolist()
    assert runnable.batch(TEXTS[:5]) == texts
    assert asyncio.run(runnable.abatch(TEXTS[:5])) == texts
    assert runnable.invoke(TEXTS[0]) == asyncio.run(runnable.ainvoke([HumanMessage(TEXTS[0])])) == texts[0]
    short = runnable.bind(max_new_tokens=2)
    assert short.batch(TEXTS[:5]) == generator.predict(TEXTS[:5], max_new_tokens=2).tolist() != texts
    found = runnable.batch([TEXTS[0], None], return_exceptions=True)
    assert found[0] == generator.predict(TEXTS[:1])[0]
    assert isinstance(found[1], DataError)
    with pytest.raises(ParameterError, match="max_new_token"):
        runnable.invoke(TEXTS[0], max_new_token=2)


def test_a_generator_streams_pieces(generator):
    runnable, text = as_runnable(generator), TEXTS[3]
    chain = PromptTemplate.from_template("{it}") | runnable

    async def collected(stream):
        return [piece async for piece in stream]

    pieces = [*generator.stream(text)]
    assert len(pieces) > 1
    assert [*runnable.stream(text)] == [*chain.stream({"it": text})] == pieces
    assert asyncio.run(collected(chain.astream({"it": text}))) == asyncio.run(collected(runnable.astream(text)))
    assert asyncio.run(collected(runnable.astream(text))) == pieces
    assert [*runnable.stream(text, max_new_tokens=2)] == [*generator.stream(text, max_new_tokens=2)]
    with pytest.raises(DataError, match="found NoneType"):
        [*runnable.stream(None)]
    with pytest.raises(DataError, match="found NoneType"):
        asyncio.run(collected(runnable.astream(None)))


def test_a_stream_that_is_left_stops_the_model(generator, monkeypatch):
    """Also where the task is cancelled while a piece is on its way."""
    import threading

    runnable = as_runnable(generator)

    def writing():
        return [thread for thread in threading.enumerate() if thread.name == "softcloze-stream"]

    async def first(stream):
        async for piece in stream:
            await stream.aclose()
            return piece

    async def cancelled():
        async def follow():
            async for _ in runnable.astream(TEXTS[3], max_new_tokens=40):
                seen.set()

        seen = asyncio.Event()
        task = asyncio.ensure_future(follow())
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert asyncio.run(first(runnable.astream(TEXTS[3], max_new_tokens=40)))
    assert not writing()
    asyncio.run(cancelled())
    assert not writing()
    stream = runnable.stream(TEXTS[3], max_new_tokens=40)
    assert next(stream)
    stream.close()
    assert not writing()


def test_mistakes_are_errors_before_any_work(clf, backbone, monkeypatch):
    several = MultiLabelPromptClassifier(backbone, "<text> It was <mask>", WORDS)
    for wrong in ({"estimator": several}, {"estimator": "clf"}, {"output": "labels"}, {"name": 3}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            as_runnable(**{"estimator": clf, **wrong})
    with pytest.raises(NotFittedError):
        as_runnable(PromptClassifier(backbone, "<text><soft*2> It was <mask>", WORDS))
    monkeypatch.setitem(sys.modules, "langchain_core.runnables", None)
    monkeypatch.delitem(sys.modules, "softcloze.integrations.langchain_runnables")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'softcloze\[langchain\]'"):
        as_runnable(clf)
