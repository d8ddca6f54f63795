"""Graphs of LangGraph that a prompt steers: routes, checkpoints, messages, and prompts chosen by the state."""

import asyncio
import json
import operator
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

import pytest
from pydantic import BaseModel
from sklearn.exceptions import NotFittedError
from support import models
from support.three_labels import TEXTS, WORDS

from softcloze import FieldVerbalizer, PromptClassifier
from softcloze.errors import DataError, ParameterError
from softcloze.integrations.langgraph import classify, label_router, router

pytest.importorskip("langgraph")

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph

ROUTES = {"positive": "thank", "negative": "apologise", "mixed": "ask"}


@pytest.fixture(scope="module")
def certain(clf):
    """A probability that some texts exceed and others do not, for each label."""
    best = clf.predict_proba(TEXTS).max(1)
    return float(sorted(best)[len(best) // 2])


class Ticket(TypedDict, total=False):
    text: str
    label: str
    probability: float
    seen: Annotated[list[str], operator.add]


def branch(name):
    def node(state):
        return {"seen": [name]}

    return node


def expected_node(clf, text, certain):
    """The node of a text, by scikit-learn's interface alone."""
    (row,) = clf.predict_proba([text])
    return ROUTES[clf.classes_[row.argmax()]] if row.max() >= certain else "person"


def with_branches(graph):
    for name in (*ROUTES.values(), "person"):
        graph.add_node(name, branch(name))
        graph.add_edge(name, END)
    return graph


def routed(clf, certain):
    """A graph whose conditional edge scores the text itself."""
    graph = with_branches(StateGraph(Ticket))
    graph.add_conditional_edges(START, router(clf, routes=ROUTES, threshold=certain, otherwise="person"))
    return graph


def classified(clf, certain):
    """A graph with a node that writes the label, and an edge that reads it."""
    graph = with_branches(StateGraph(Ticket))
    graph.add_node("classify", classify(clf))
    graph.add_edge(START, "classify")
    route = label_router(clf.classes_, routes=ROUTES, threshold=certain, otherwise="person")
    graph.add_conditional_edges("classify", route)
    return graph


@pytest.mark.parametrize("build", [routed, classified])
def test_every_text_reaches_its_node(build, clf, certain):
    graph = build(clf, certain).compile()
    expected = [expected_node(clf, text, certain) for text in TEXTS]
    assert {*expected} == {"thank", "apologise", "ask", "person"}
    assert [graph.invoke({"text": text})["seen"] for text in TEXTS] == [[name] for name in expected]
    together = graph.batch([{"text": text} for text in TEXTS], {"max_concurrency": 8})  # threads
    assert [state["seen"] for state in together] == [[name] for name in expected]

    async def run():
        return await asyncio.gather(*(graph.ainvoke({"text": text}) for text in TEXTS))

    assert [state["seen"] for state in asyncio.run(run())] == [[name] for name in expected]


def test_the_state_holds_plain_python(clf, certain):
    state = classified(clf, certain).compile().invoke({"text": TEXTS[0]})
    (row,) = clf.predict_proba(TEXTS[:1])
    assert (state["label"], state["probability"]) == (clf.predict(TEXTS[:1])[0], row.max())
    assert (type(state["label"]), type(state["probability"])) == (str, float)
    assert json.loads(json.dumps(state)) == state
    strict = JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)
    assert strict.loads_typed(strict.dumps_typed(state)) == state
    assert type(router(clf, routes=ROUTES)({"text": TEXTS[0]})) is str


def test_the_event_loop_stays_free(clf, certain):
    graph = classified(clf, certain).compile()
    text = {"text": " ".join(TEXTS)}

    async def ticks():
        ticks, task = 0, asyncio.ensure_future(asyncio.gather(*(graph.ainvoke(text) for _ in range(20))))
        while not task.done():
            await asyncio.sleep(0.001)
            ticks += 1
        await task
        return ticks

    assert asyncio.run(ticks()) > 3


@pytest.mark.parametrize("build", [routed, classified])
def test_the_drawing_has_the_edges_of_the_routes_and_no_others(build, clf, certain):
    graph = build(clf, certain).compile().get_graph()
    start = "classify" if build is classified else START
    assert {edge.target for edge in graph.edges if edge.source == start} == {*ROUTES.values(), "person"}


def test_a_route_to_no_node_is_an_error_when_the_graph_is_compiled(clf):
    graph = with_branches(StateGraph(Ticket))
    graph.add_conditional_edges(START, router(clf, routes={**ROUTES, "mixed": "nowhere"}))
    with pytest.raises(ValueError, match="nowhere"):
        graph.compile()


def test_a_route_may_be_the_end(clf):
    graph = with_branches(StateGraph(Ticket))
    graph.add_conditional_edges(START, router(clf, routes=dict.fromkeys(WORDS, END)))
    assert not graph.compile().invoke({"text": TEXTS[0]}).get("seen")


@pytest.mark.parametrize("saver", ["memory", "sqlite"])
def test_resume_from_a_checkpoint(saver, clf, certain, tmp_path, monkeypatch):
    """A run that stopped in front of a branch goes on by the label in the checkpoint, without a model."""
    thread = {"configurable": {"thread_id": "7"}}
    graph, before = classified(clf, certain), [*ROUTES.values(), "person"]

    def stop_and_resume(first, second):
        app = graph.compile(checkpointer=first, interrupt_before=before)
        stopped = app.invoke({"text": TEXTS[0]}, thread)
        assert "seen" not in stopped or not stopped["seen"]
        monkeypatch.setattr(PromptClassifier, "_bound_prompt", None)  # no further score
        resumed = graph.compile(checkpointer=second()).invoke(None, thread)
        monkeypatch.undo()
        assert resumed["seen"] == [expected_node(clf, TEXTS[0], certain)]
        assert (resumed["label"], resumed["probability"]) == (stopped["label"], stopped["probability"])

    if saver == "memory":
        memory = InMemorySaver()
        stop_and_resume(memory, lambda: memory)
    else:
        path = str(tmp_path / "states.sqlite")
        with SqliteSaver.from_conn_string(path) as first, SqliteSaver.from_conn_string(path) as second:
            stop_and_resume(first, lambda: second)


def test_messages(clf):
    graph = StateGraph(MessagesState)
    for name in ROUTES.values():
        graph.add_node(name, lambda state, name=name: {"messages": [AIMessage(name)]})
        graph.add_edge(name, END)
    graph.add_conditional_edges(START, router(clf, "messages", ROUTES))
    app = graph.compile(checkpointer=InMemorySaver())
    for text in TEXTS[:6]:  # turns of one conversation
        state = app.invoke({"messages": [("human", text)]}, {"configurable": {"thread_id": "1"}})
        assert state["messages"][-1].text == ROUTES[clf.predict([text])[0]]


def test_several_prompts_on_one_model_chosen_by_the_state(clf, backbone):
    """The state names the prompt of the next node; both share one frozen model."""
    stage = PromptClassifier(backbone, "In all, <mask>: <text>", {"talk": "story", "buy": "film"})
    nodes = {"tone": classify(clf, into="tone", probability=None), "stage": classify(stage, into="stage")}

    class Turn(TypedDict, total=False):
        text: str
        prompt: str
        tone: str
        stage: str
        probability: float

    graph = StateGraph(Turn)
    graph.add_node("read", lambda state: nodes[state["prompt"]](state))
    graph.add_edge(START, "read")
    app = graph.compile()
    for text in TEXTS[:8]:
        assert app.invoke({"text": text, "prompt": "tone"})["tone"] == clf.predict([text])[0]
        assert app.invoke({"text": text, "prompt": "stage"})["stage"] == stage.predict([text])[0]
    assert clf._bound_prompt().backbone is stage._bound_prompt().backbone


def test_a_loop_in_which_one_prompt_leads_to_another(clf, backbone):
    """The flow of control switches the prompt: a first one finds the topic, then one of that topic the answer."""
    words = {"film": "film", "book": "book"}
    topic = PromptClassifier(backbone, "In all, <mask>: <text>", words, head="linear", random_state=0)
    topic.fit(TEXTS, [list(words)[i % 2] for i in range(len(TEXTS))])
    book = PromptClassifier(backbone, "<text> A <mask> book", {"good": "good", "bad": "bad"})

    class Turn(TypedDict, total=False):
        text: str
        topic: str
        verdict: str

    graph = StateGraph(Turn)
    graph.add_node("topic", classify(topic, into="topic", probability=None))
    graph.add_node("film", classify(clf, into="verdict", probability=None))
    graph.add_node("book", classify(book, into="verdict", probability=None))
    graph.add_edge(START, "topic")
    graph.add_conditional_edges("topic", label_router(topic.classes_, "topic"))
    app = graph.compile()
    found = [app.invoke({"text": text}) for text in TEXTS[:12]]
    assert {state["topic"] for state in found} == {"film", "book"}
    for state in found:
        prompt = {"film": clf, "book": book}[state["topic"]]
        assert state["verdict"] == prompt.predict([state["text"]])[0]


@dataclass
class AsDataclass:
    text: str


class AsModel(BaseModel):
    text: str


@pytest.mark.parametrize(
    ("key", "state"),
    [
        ("text", {"text": TEXTS[2]}),
        ("text", AsDataclass(TEXTS[2])),
        ("text", AsModel(text=TEXTS[2])),
        ("ticket", {"ticket": {"text": TEXTS[2], "id": 3}}),
        ("messages", {"messages": [HumanMessage(TEXTS[2]), AIMessage("Hm.")]}),
        (lambda state: state["a"] + state["b"], {"a": TEXTS[2][:5], "b": TEXTS[2][5:]}),
    ],
)
def test_keys(key, state, clf):
    label = clf.predict([TEXTS[2]])[0]
    assert router(clf, key, ROUTES)(state) == ROUTES[label]
    assert classify(clf, key, probability=None)(state) == {"label": label}


def test_states_without_a_value_are_errors(clf):
    for function in (router(clf, routes=ROUTES), classify(clf)):
        with pytest.raises(DataError, match="no value 'text': it has 'txt'"):
            function({"txt": "A"})
        with pytest.raises(DataError, match="no value 'text'"):
            function(3)
        with pytest.raises(DataError, match="found int"):
            function({"text": 3})
        with pytest.raises(DataError, match="'text' is None"):
            function({"text": {"text": None}})
    with pytest.raises(DataError, match="the label 'happy'; expected one of '"):
        label_router(sorted(WORDS), routes=ROUTES)({"label": "happy"})
    with pytest.raises(DataError, match="expected one of"):
        label_router(sorted(WORDS), routes=ROUTES)({"label": ["happy"]})
    unsure = label_router(sorted(WORDS), routes=ROUTES, threshold=0.9, otherwise="person")
    for share in (float("nan"), None, "high", 70, -0.1):
        with pytest.raises(DataError, match="expected a number"):
            unsure({"label": sorted(WORDS)[0], "probability": share})


def test_routes_are_checked_when_they_are_made(clf, backbone):
    labels = clf.classes_
    for make in (lambda **options: router(clf, **options), lambda **options: label_router(labels, **options)):
        with pytest.raises(ParameterError, match="no node for the labels 'mixed', 'negative'"):
            make(routes={"positive": "thank"})
        with pytest.raises(ParameterError, match=r"for 'negativ'.*did you mean 'negative'"):
            make(routes={**ROUTES, "negativ": "ask"})
        with pytest.raises(ParameterError, match="the node of the label 'mixed' is None"):
            make(routes={**ROUTES, "mixed": None})
        with pytest.raises(ParameterError, match="threshold is given without otherwise"):
            make(routes=ROUTES, threshold=0.5)
        with pytest.raises(ParameterError, match="otherwise is given without threshold"):
            make(routes=ROUTES, otherwise="person")
        with pytest.raises(ParameterError, match="threshold=50"):
            make(routes=ROUTES, threshold=50, otherwise="person")
        with pytest.raises(ParameterError, match="key=3"):
            make(key=3)
    with pytest.raises(ParameterError, match="labels='mixed'"):
        label_router("mixed")
    numbers = PromptClassifier(backbone, "<text> It was <mask>", {0: "bad", 1: "good"})
    with pytest.raises(ParameterError, match="the node of the label 0 is 0; expected its name"):
        router(numbers)
    assert router(numbers, routes={0: "a", 1: "a"})({"text": "A"}) == "a"
    choices = PromptClassifier(backbone, "<question> <mask>", FieldVerbalizer("choices", 3, answers="word"))
    with pytest.raises(ParameterError, match="differ from example to example"):
        router(choices)


def test_other_estimators_are_errors(backbone):
    unfitted = PromptClassifier(backbone, "<text><soft*2> It was <mask>", WORDS)
    for make in (router, classify):
        with pytest.raises(ParameterError, match="classifier="):
            make("clf")
        with pytest.raises(NotFittedError):
            make(unfitted)


@pytest.mark.parametrize("page", ["langchain.md", "langchain.zh-CN.md"])
def test_blocks_of_the_page(page, capsys):
    """They run as they stand, on a tiny model."""
    path = Path(__file__).parents[2] / "docs" / "how-to" / page
    blocks = re.findall(r"^```py\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names = {"backbone": models.new_backbone("llama")}
    for block in blocks:
        exec(compile(re.sub(r'"starter:[\w-]+"', "backbone", block), page, "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert len(blocks) == 3
    assert len(printed) == 9
    assert {*printed[4:8]} <= {*names["answers"].values()}
    assert "topic" in printed[-1]
