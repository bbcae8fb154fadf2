"""A TCP proxy before a server: it can go silent as a dead host behind a living network does, or be slow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

_CHUNK = 1 << 16


class Proxy:
    """Passes bytes on, unless it is silent: then it takes them in, keeps every connection open, and answers nothing.

    Connections that were open when it went silent stay so for good, as after a power cut of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self.silent = False
        self.port = 0
        self.connections = 0

    async def _open(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        writers = [writer]
        try:
            if self.silent:
                await asyncio.Event().wait()
            there, to_there = await asyncio.open_connection(*self._target)
            writers.append(to_there)
            dead = [False]
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, to_there, dead))
                both.create_task(self._pass(there, writer, dead))
        except* OSError:
            pass
        except* asyncio.CancelledError:
            for open_writer in writers:
                open_writer.transport.abort()  # what it still holds, nobody takes
        finally:
            self._tasks.discard(task)
            for open_writer in writers:
                open_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dead: list[bool]) -> None:
        while data := await reader.read(_CHUNK):
            dead[0] = dead[0] or self.silent
            if not dead[0]:
                writer.write(data)
                await writer.drain()
        writer.close()

    def _run(self) -> None:
        self._loop.run_forever()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        await asyncio.sleep(0.05)  # who was let in this moment has no task of its own yet
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        server = self._loop.run_until_complete(self._open())
        thread = Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result(60)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()
