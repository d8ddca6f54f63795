"""A server of the service in a thread, and calls of it over a socket."""

import http.client
import json
import signal
import socket
import sys
import threading
import time
from contextlib import closing, contextmanager

from softcloze import Prompt, Template, Verbalizer, load_backbone
from softcloze.registry import Registry
from softcloze.service.server import make_server
from softcloze.service.service import Service
from softcloze.service.settings import ServiceSettings


@contextmanager
def listening(registry, backbone, **settings):
    """Run a server in a thread, and yield it and its port."""
    service = Service(registry, backbone, ServiceSettings(**{"poll_seconds": 0.01, **settings}))
    server = make_server(service, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield service, server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.handle_exit(signal.SIGTERM, None)
        thread.join(60)


def post(port, body, path="/classify"):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def is_ready(port, path="/health/ready"):
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status == 200
    except OSError:
        return False


def wait_until(holds):
    end = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def registry_of_bert_tiny(folder):
    """A registry in a folder, in which a real prompt is live."""
    backbone = load_backbone("starter:bert-tiny")
    words = Verbalizer({"positive": "good", "negative": "bad"})
    prompt = Prompt(Template("<text> It was <mask>."), words, backbone.name, backbone.fingerprint)
    registry = Registry(folder)
    registry.promote(str(registry.add(prompt, "reviews")))
    return registry


def free_port():
    """A port at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def command_of_bert_tiny(folder):
    """A command that serves a real prompt from a registry in a folder, and the free port that it listens at."""
    registry, port = registry_of_bert_tiny(folder / "prompts"), free_port()
    return [sys.executable, "-m", "softcloze", "serve", str(registry.folder), "--port", str(port)], port
