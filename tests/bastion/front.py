"""A TLS server before the embedded gateway's API, which can be made to present the wrong certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from typing import Self

from tests.tls import LOOPBACK


class Front:
    """Listens on loopback and passes what it hears on to ``target``, a port; a context of None is no TLS at all."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.target = 0
        self.heard = 0
        self._context = context
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="front", daemon=True)

    def present(self, context: ssl.SSLContext | None) -> None:
        """Change sides for all connections to come; those that are open end."""

        async def change() -> None:
            self._context = context
            self.heard = 0
            for writer in self._writers:
                writer.transport.abort()

        asyncio.run_coroutine_threadsafe(change(), self._loop).result(10)

    def __enter__(self) -> Self:
        self._thread.start()
        serving = asyncio.start_server(self._serve, sock=self._listener)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.present(None)
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._context is None:
                writer.write(b"HTTP/1.0 400 this is not TLS\r\n\r\n")
                await writer.drain()
                return
            await writer.start_tls(self._context)
            behind_reader, behind = await asyncio.open_connection(LOOPBACK, self.target)
            back = asyncio.ensure_future(self._back(behind_reader, writer))
            while data := await reader.read(65536):
                self.heard += len(data)
                behind.write(data)
            back.cancel()
            behind.close()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    @staticmethod
    async def _back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
