"""Who the server runs as: we ourselves, or a system user when we are root, as whom PostgreSQL refuses to run."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resources.postgres.server.errors import NoServerAccount

SYSTEM_USER = "postgres"

# The whole environment of what we start: no PG* variable of the caller changes our server; its messages are English.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# The caller's shell may be gone long before what we start: it gets no parent to wait for it, and none of our files.
# An intermediate shell and not a double fork, because forking a threaded interpreter is not safe.
_IN_BACKGROUND = 'exec "$@" </dev/null >>"$0" 2>&1 & echo $!'


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user and group of the server; `dropped` when they are not our own."""

    uid: int
    gid: int
    dropped: bool

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run to the end as this user, outputs captured; PermissionError when this user cannot reach the program."""
        return subprocess.run(
            [os.fspath(part) for part in command],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=ENVIRONMENT,
            cwd="/",
            umask=0o077,
            start_new_session=True,  # a Ctrl-C in the caller's terminal is not for the server
            user=self.uid if self.dropped else None,
            group=self.gid if self.dropped else None,
            extra_groups=[] if self.dropped else None,
        )

    def start(self, *command: str | Path, log: Path) -> int:
        """Start as this user in the background, detached from us, output appended to the log; its pid, 0 if none."""
        return int(self.run("/bin/sh", "-c", _IN_BACKGROUND, log, *command).stdout or 0)

    def reaches(self, directory: Path) -> bool:
        """Whether this user can enter the directory, asked of the kernel rather than computed from modes."""
        return not self.dropped or self.run("/bin/sh", "-c", 'cd "$0"', directory).returncode == 0

    def own(self, path: Path) -> None:
        """Give a file or directory that we made to this user."""
        if self.dropped:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def server_account() -> Account:
    """The account for a server started by this process; makes the system user when root finds none."""
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid(), dropped=False)
    entry = _system_user() or _made_system_user()
    return Account(uid=entry.pw_uid, gid=entry.pw_gid, dropped=True)


def start_detached(command: Sequence[str], *, keep: Sequence[int]) -> None:
    """Start in the background as ourselves, outliving us, with these descriptors and no other file of ours."""
    subprocess.run(
        ["/bin/sh", "-c", _IN_BACKGROUND, os.devnull, *command],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
        pass_fds=keep,
    )


def _system_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None


def _made_system_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise NoServerAccount(account=SYSTEM_USER, reason="there is no useradd")
    home_and_shell = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    made = subprocess.run(
        [useradd, "--system", *home_and_shell, SYSTEM_USER], check=False, capture_output=True, env=ENVIRONMENT
    )
    entry = _system_user()  # looked up even after a failure: another process may just have made it
    if entry is None:
        raise NoServerAccount(account=SYSTEM_USER, reason=f"useradd ended with {made.returncode}")
    return entry
