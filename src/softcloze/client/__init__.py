"""Clients of the service: classify and write texts over HTTP, without a model in the process.

`Client` waits for answers, `AsyncClient` awaits them. Both need `pip install 'softcloze[client]'`.
"""

from softcloze.client.answers import Answer, Text
from softcloze.client.asynchronous import AsyncClient
from softcloze.client.client import Client

__all__ = ["Answer", "AsyncClient", "Client", "Text"]
