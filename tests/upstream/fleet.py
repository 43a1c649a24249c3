"""All emulators on one thread, one port each.

`lenient` local servers (vLLM and the like) are the OpenAI emulator asked for
"lax-" models; a second OpenAI with another key stands in for a fallback.
"""
import asyncio
import threading

from . import wire
from .anthropic_api import Anthropic
from .azure_api import Azure
from .bedrock_api import Bedrock
from .cohere_api import Cohere
from .gemini_api import Gemini
from .journal import Journal
from .mistral_api import Mistral
from .openai_api import OpenAI
from .vertex_api import Vertex

KINDS = {"openai": OpenAI, "anthropic": Anthropic, "gemini": Gemini, "azure": Azure,
         "bedrock": Bedrock, "cohere": Cohere, "vertex": Vertex, "mistral": Mistral}
BASE_PATH = {"openai": "/v1", "mistral": "/v1"}


class Fleet:
    """start() returns when every port listens; stop() joins the thread."""

    def __init__(self, labels=("openai", "anthropic", "gemini", "azure", "bedrock", "cohere", "vertex",
                         "mistral", "openai-b"), port=0,
                 host="127.0.0.1", tls=None, http2=None):
        """`http2`: an http2.Trouble; the emulators then speak HTTP/2 and nothing else."""
        self.journal = Journal()
        self.host = host
        self.tls = tls
        self.http2 = http2
        self.providers = {}
        self.ports = {}
        self._first_port = port
        for label in labels:
            kind = KINDS[label.partition("-")[0]]
            self.providers[label] = kind("upstream-key-%s-0123456789" % label, self.journal, label)

    def key(self, label):
        return self.providers[label].key

    def url(self, label, base_path=True):
        path = BASE_PATH.get(label.partition("-")[0], "") if base_path else ""
        scheme = "https" if self.tls else "http"
        return "%s://%s:%d%s" % (scheme, self.host, self.ports[label], path)

    def start(self):
        ready = threading.Event()
        self._failed = None
        self._thread = threading.Thread(target=self._main, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait(10)
        if self._failed:
            raise self._failed
        return self

    def stop(self):
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def _main(self, ready):
        asyncio.run(self._serve(ready))

    async def _serve(self, ready):
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        servers = []
        try:
            for index, (label, provider) in enumerate(self.providers.items()):
                port = self._first_port + index if self._first_port else 0
                server = await asyncio.start_server(
                    self._handler(provider), self.host, port, limit=wire.MAX_HEAD, ssl=self.tls,
                    backlog=1024)
                servers.append(server)
                self.ports[label] = server.sockets[0].getsockname()[1]
        except OSError as err:
            self._failed = err
        ready.set()
        if self._failed is None:
            await self._stopped.wait()
        for server in servers:
            server.close()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _handler(self, provider):
        async def handle(reader, writer):
            try:
                if self.http2:
                    from .http2 import serve_connection   # needs the package h2
                    await serve_connection(reader, writer, provider.exchange, self.http2)
                else:
                    await wire.serve_connection(reader, writer, provider.exchange)
            except asyncio.CancelledError:
                writer.transport.abort()
        return handle
