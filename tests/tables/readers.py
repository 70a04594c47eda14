"""People who read views all the time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from warehouse import Warehouse


@contextmanager
def racing(warehouse: Warehouse, statement: str) -> Iterator[list[tuple[int, ...]]]:
    """Several who ask all the time; what they got."""
    found: list[tuple[int, ...]] = []
    done = threading.Event()

    def read() -> None:
        with psycopg.connect(warehouse.url, autocommit=True) as connection:
            while not done.wait(0.003):
                found.extend(connection.execute(statement.encode()).fetchall())

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        done.set()
        for thread in threads:
            thread.join()
