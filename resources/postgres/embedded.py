"""A PostgreSQL of our own, from the wheel: started by its first user, shared by all, gone with the last one.

    server = attach(Path(".metadata/postgres"))
    ensure_databases(server, ["metadata", "dagster", "data"])
    engine = create_engine(server.url("metadata", driver="postgresql+psycopg"))

How it is kept, in the files of the home:

| lock              | held by                                                         | how       |
|-------------------|-----------------------------------------------------------------|-----------|
| `start.lock`      | who looks whether a server runs, and starts or removes it       | exclusive |
| `users.lock`      | every process that called `attach`, until it ends               | shared    |
| `users.lock`      | the supervisor, while it stops the server; `stop`, while it does | exclusive |
| `supervisor.lock` | the supervisor, from its birth until it got `users.lock`        | exclusive |

Locks are taken in the order of the table; the supervisor takes none but `users.lock`, and the start lock's holder waits for
nobody but it, so there is no circle. What follows:

- Four cold starts at once make one server: the start lock lets them look one after the other.
- A user that ends in any way, kill -9 included, gives its shared lock back, because the kernel does it. Who started
  the server does not matter. When the last one is gone the supervisor has the exclusive lock, and stops the server.
- A newcomer at that moment waits for the shared lock until the server is down, then starts it. It is never given a server that
  is about to go: from its registration on, no supervisor gets the exclusive lock.
- A supervisor is born holding `supervisor.lock` (it inherits the descriptor), so two newcomers never make two, and gives it
  back as soon as it has nobody left to wait for, so a newcomer never counts on one that is leaving. A killed
  one is replaced by the next `attach`, and by every user that ends normally. Only if it is killed and then every user is too does
  the server stay; the next `attach` finds it and gives it a supervisor.
- The supervisor is started before the server. A starter killed while launching leaves the file `launching`, for which the
  supervisor waits a little for a server that is not visible yet.
- Nobody inherits a user's lock: subprocesses do not see the descriptor, and a process made by fork alone closes it at once. Such
  a child is no user of the server: if it may outlive its parent, it calls `attach` itself. A daemon that closes all its descriptors
  is no user any more either, until it calls `attach` again.

The server listens on a unix socket in a 0700 directory only, and trusts who can enter it. As root it runs as the system user
`postgres`. Its durability is the default: what is committed survives kill -9 and a crash of the machine.
"""

import atexit
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from resources.postgres.server import clusters, locks, postmaster, supervisor
