"""Real servers and real clients: a process, sockets and signals."""

import json
import os
import signal
import socket
import subprocess
import threading

import pytest
from huggingface_hub import InferenceClient
from support.serving import command_of_bert_tiny, is_ready, listening, post, wait_until

from softcloze.service.server import make_server
from softcloze.service.service import Service
from softcloze.service.settings import ServiceSettings

ROW = {"text": "It was good, and the acting was good too.", "prompt_id": "reviews"}


def test_the_client_of_the_hub_works(read_only, backbone):
    with listening(read_only, backbone, token="s3cret") as (_, port):
        client = InferenceClient(model=f"http://127.0.0.1:{port}/hf/reviews", token="s3cret")
        answer = client.text_classification(ROW["text"])
        assert {one.label for one in answer} == {"positive", "negative"}
        assert sum(one.score for one in answer) == pytest.approx(1.0)
        assert answer[0].score >= answer[1].score
        assert len(client.text_classification(ROW["text"], top_k=1)) == 1


def test_rows_of_a_client_that_is_gone_are_not_scored(read_only, backbone, model):
    with listening(read_only, backbone) as (service, port):
        post(port, ROW)
        model.hold()
        first = threading.Thread(target=post, args=(port, ROW))
        first.start()
        wait_until(model.entered.is_set)
        body = json.dumps(ROW).encode()
        gone = socket.create_connection(("127.0.0.1", port))
        head = "POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        gone.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: service._batcher.queued_rows == 2)
        gone.close()
        wait_until(lambda: service.metrics.text().count(b'route="/classify",status="499"') > 0)
        model.let_go()
        first.join()
        assert b'softcloze_rows_total{prompt="reviews",version="1"} 2.0' in service.metrics.text()


def test_too_much_work_is_turned_away_before_its_body_is_read(read_only, backbone, model):
    with listening(read_only, backbone, max_wait=1e-6) as (_, port):
        post(port, ROW)  # measures the speed
        model.hold()
        first = threading.Thread(target=post, args=(port, ROW))
        first.start()
        wait_until(model.entered.is_set)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as refused:
            refused.sendall(b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
            assert refused.recv(1000).startswith(b"HTTP/1.1 429")
        model.let_go()
        first.join()


def test_rows_that_wait_are_answered_when_the_server_is_ended(read_only, backbone, model):
    answers = []
    with listening(read_only, backbone) as (service, port):
        model.hold()
        clients = [threading.Thread(target=lambda: answers.append(post(port, ROW))) for _ in range(8)]
        for client in clients:
            client.start()
        wait_until(lambda: service._batcher.queued_rows == 8)
        threading.Timer(0.2, model.let_go).start()
    for client in clients:
        client.join(60)
    assert [status for status, _ in answers] == [200] * 8


def test_a_row_that_takes_too_long_does_not_keep_the_server_from_its_end(read_only, backbone, model, caplog):
    answers = []
    with listening(read_only, backbone, drain_seconds=0.6) as (_, port):
        model.hold()
        client = threading.Thread(target=lambda: answers.append(post(port, ROW)))
        client.start()
        wait_until(model.entered.is_set)
    assert not is_ready(port)  # the server has ended, and the model is still held
    model.let_go()
    client.join(60)
    assert [(status, body["code"]) for status, body in answers] == [(503, "stopping")]
    assert "Traceback" not in caplog.text


def test_a_second_signal_ends_at_once(read_only, backbone):
    service = Service(read_only, backbone, ServiceSettings())
    server = make_server(service, "127.0.0.1", 0)
    server.handle_exit(signal.SIGINT, None)
    assert (server.should_exit, server.force_exit, service.draining) == (True, False, True)
    server.handle_exit(signal.SIGINT, None)
    assert server.force_exit


@pytest.mark.slow
def test_a_process_serves_and_ends_with_exit_code_0(tmp_path):
    """As a user runs it, with a real model."""
    command, port = command_of_bert_tiny(tmp_path)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, env=os.environ | {"SOFTCLOZE_TOKEN": "s3cret"})
    try:
        wait_until(lambda: process.poll() is not None or is_ready(port))
        assert post(port, ROW)[0] == 401
        client = InferenceClient(model=f"http://127.0.0.1:{port}/hf/reviews", token="s3cret")
        assert client.text_classification("A delight.")[0].label == "positive"
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code == 0
    assert "A delight" not in (tmp_path / "log").read_text()
