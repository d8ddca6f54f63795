"""A service that has more to do than it can: refusals, slow clients, and an end under load."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest
from support import models
from support.serving import command_of_bert_tiny, is_ready, listening, post, wait_until

from softcloze import PromptSet

ROW = {"text": "It was good, and the acting was good too.", "prompt_id": "reviews"}


def test_all_answers_under_overload_are_right_or_refusals(read_only, prompts, backbone):
    texts = models.SENTENCES[:8]
    (expected,) = PromptSet([prompts["reviews"]], backbone).predict_proba(texts)
    with listening(read_only, backbone, max_wait=0.002) as (service, port):

        def ask(i):
            return i, post(port, {"text": texts[i % 8], "prompt_id": "reviews"})

        with ThreadPoolExecutor(24) as clients:
            answers = [*clients.map(ask, range(200))]
        assert 200 in {status for _, (status, _) in answers} <= {200, 429}
        for i, (status, body) in answers:
            if status == 200:
                np.testing.assert_allclose([*body["probabilities"].values()], expected[i % 8], atol=1e-5)
            else:
                assert body["code"] == "overloaded"
        wait_until(lambda: service._batcher.queued_rows == 0)
        assert (service._batcher.queued_tokens, post(port, ROW)[0]) == (0, 200)


@pytest.mark.slow
def test_others_are_served_beside_five_hundred_slow_connections(read_only, backbone):
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1200  # both ends are in this process
    with listening(read_only, backbone, receive_seconds=600) as (_, port), ExitStack() as slow:
        for i in range(500):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            start = "POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
            connection.sendall(start[: i % len(start) + 1].encode())
        with ThreadPoolExecutor(8) as clients:
            assert {status for status, _ in clients.map(lambda _: post(port, ROW), range(100))} == {200}


@pytest.mark.slow
def test_all_rows_that_were_taken_are_answered_when_the_process_is_ended_under_load(tmp_path):
    command, port = command_of_bert_tiny(tmp_path)
    answers, gone = [], []

    def ask():
        while True:
            try:
                status, body = post(port, {"rows": [ROW] * 8})
            except (OSError, ValueError) as error:  # the server is away
                gone.append(error)
                return
            answers.append((status, body))

    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, env=os.environ)
    clients = [threading.Thread(target=ask) for _ in range(16)]
    try:
        wait_until(lambda: process.poll() is not None or is_ready(port))
        for client in clients:
            client.start()
        wait_until(lambda: len(answers) > 100)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    for client in clients:
        client.join()
    assert code == 0
    assert {status for status, _ in answers} <= {200, 503}
    answered = [body for status, body in answers if status == 200]
    assert all(row["label"] == "positive" or row["label"] == "negative" for body in answered for row in body["rows"])
    taken = re.findall(r"rows=8 .* failures=(\S+)", (tmp_path / "log").read_text())
    assert taken == ["-"] * len(answered)  # each request that was scored has reached its client
    assert json.dumps(ROW["text"])[1:-1] not in (tmp_path / "log").read_text()
