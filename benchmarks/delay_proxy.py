"""A TCP proxy that delays, where no netem is: `python -m benchmarks.delay_proxy MS TARGET…`.

Each TARGET (ADDRESS:PORT) gets a port on 127.0.0.1; the ports are printed in order as a JSON list.
Every byte arrives MS milliseconds after it was sent, each way, in order, however many are under
way; a connection is made after twice that, as a handshake takes. Serves until its standard input
ends, so it never outlives who started it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from functools import partial

_CHUNK = 65_536


async def serve(target: tuple[str, int], delay: float) -> asyncio.Server:
    """A server on a free port of 127.0.0.1 that leads to `target`; `delay` in seconds, each way."""
    return await asyncio.start_server(partial(_join, target, delay), "127.0.0.1", 0)


def port_of(server: asyncio.Server) -> int:
    """The port a server listens on."""
    port: int = server.sockets[0].getsockname()[1]
    return port


async def _join(
    target: tuple[str, int],
    delay: float,
    near_in: asyncio.StreamReader,
    near_out: asyncio.StreamWriter,
) -> None:
    await asyncio.sleep(2 * delay)
    try:
        far_in, far_out = await asyncio.open_connection(*target)
    except OSError:
        near_out.close()
        return
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_carry(near_in, far_out, delay))
            both.create_task(_carry(far_in, near_out, delay))
    finally:
        near_out.close()
        far_out.close()


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay: float) -> None:
    """Hand on every chunk when its time has come, and its end as well."""
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    clock = asyncio.get_running_loop().time

    async def take() -> None:
        data = b"-"
        while data:
            try:
                data = await source.read(_CHUNK)
            except OSError:
                data = b""
            under_way.put_nowait((clock() + delay, data))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - clock())
            if not data:
                break
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except OSError:
        pass  # whoever was to get it has gone
    finally:
        taking.cancel()


async def _main(milliseconds: float, targets: Sequence[str]) -> None:
    servers = []
    for target in targets:
        address, _, port = target.rpartition(":")
        servers.append(await serve((address, int(port)), milliseconds / 1000))
    print(json.dumps([port_of(server) for server in servers]), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]), sys.argv[2:]))
