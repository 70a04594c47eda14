"""A server that says that it is an old PostgreSQL: as much of the protocol as a client needs to believe it."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ENCRYPTION_REQUESTS = {80877103, 80877104}


@contextmanager
def postgres_of_version(version: str) -> Iterator[int]:
    """Listens on the port that it gives, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, version), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)


def _serve(listener: socket.socket, version: str) -> None:
    while True:
        try:
            client, _address = listener.accept()
        except OSError:
            return
        with client:
            _greet(client, version)


def _greet(client: socket.socket, version: str) -> None:
    while struct.unpack("!I", client.recv(8)[4:])[0] in _ENCRYPTION_REQUESTS:
        client.sendall(b"N")
    client.recv(4096)  # the rest of the start-up message: user and database
    parameters = {"server_version": version, "client_encoding": "UTF8", "server_encoding": "UTF8"}
    said = [_message(b"S", f"{name}\0{value}\0".encode()) for name, value in parameters.items()]
    client.sendall(b"".join([_message(b"R", struct.pack("!I", 0)), *said, _message(b"Z", b"I")]))
    while client.recv(4096):
        pass


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body
