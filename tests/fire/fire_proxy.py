"""A proxy before PostgreSQL that now and then swallows an acknowledgement: the server committed, nobody is told.

    python fire_proxy.py <socket to listen on> <socket of the server> <share of commits to swallow>

Prints how many it swallowed when it is terminated.
"""

import asyncio
import contextlib
import random
import signal
import sys

_READY = b"Z\0\0\0\5I"  # ready for the next transaction: what came before it is committed
_LOGGED_IN = b"R\0\0\0\10\0\0\0\0"


class Proxy:
    def __init__(self, target: str, share: float) -> None:
        self.target, self.share, self.swallowed = target, share, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            server_reader, server_writer = await asyncio.open_unix_connection(self.target)
            pumps = [
                asyncio.create_task(self.pump(reader, server_writer, swallows=False)),
                asyncio.create_task(self.pump(server_reader, writer, swallows=True)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            server_writer.close()
        writer.close()

    async def pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, swallows: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(65536):
                if swallows and _acknowledges(chunk) and random.random() < self.share:
                    self.swallowed += 1
                    sink.write(random.choice([b"", chunk.removesuffix(_READY)]))  # the rows alone are no answer
                    return
                sink.write(chunk)
                await sink.drain()


def _acknowledges(chunk: bytes) -> bool:
    return chunk.endswith(_READY) and _LOGGED_IN not in chunk


async def main(listen: str, target: str, share: float) -> None:
    proxy = Proxy(target, share)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = await asyncio.start_unix_server(proxy.serve, listen)
    print("ready", flush=True)
    await stopped.wait()
    server.close()
    print(proxy.swallowed, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
