"""Both clients of the service behind one face, and a server that replies as a test says."""

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

from softcloze.client import AsyncClient, Client, asynchronous, client


class Calling:
    """Calls of a client; those of the one for asyncio each in an event loop of their own."""

    def __init__(self, kind, url, token=None, **options):
        self._make = lambda: (Client if kind == "sync" else AsyncClient)(url, token, **options)
        self._kind = kind
        self._clients = [self._make()]  # its errors come before any call

    def __getattr__(self, name):
        def call(*arguments, **options):
            made = self._clients.pop() if self._clients else self._make()
            if self._kind == "sync":
                with made as opened:
                    return getattr(opened, name)(*arguments, **options)

            async def run():
                async with made as opened:
                    return await getattr(opened, name)(*arguments, **options)

            return asyncio.run(run())

        return call


def replace_pauses(monkeypatch, pause):
    """Call a function with the seconds of each pause of a client, in its place."""

    async def pause_later(seconds):
        pause(seconds)

    monkeypatch.setattr(client, "time", SimpleNamespace(sleep=pause))
    monkeypatch.setattr(asynchronous, "asyncio", SimpleNamespace(sleep=pause_later))


@contextmanager
def replying(*replies):
    """A server with a reply for each request: status, body, headers; or a function of the request that makes it.

    The last reply is repeated. Yields the URL and the requests: their paths, headers and bodies.
    """
    requests, left = [], list(replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _reply(self):
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            requests.append((self.path, dict(self.headers), json.loads(content) if content else None))
            reply = left.pop(0) if len(left) > 1 else left[0]
            status, body, *headers = reply(requests[-1]) if callable(reply) else reply
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **(headers[0] if headers else {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_OPTIONS = _reply  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
