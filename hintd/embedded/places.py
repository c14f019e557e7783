"""Whose account the embedded server runs as, and where its files can be so that this account gets at them.

PostgreSQL refuses to run as root.  Started by root it runs as an account that exists already (``postgres``, else
``nobody``); nothing above its own directory is opened to that account.  A data directory that the account cannot
reach (below /root, say) therefore gets its server in /var/lib/hintd; the file ``place`` remembers that.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from hintd.embedded.binaries import EmbeddedPostgresError

ROOTS_PLACE = Path("/var/lib/hintd")
_SOCKET_NAME = "/.s.PGSQL.5432.lock"
_SOCKET_PATH_LIMIT = 107  # bytes, of sockaddr_un on Linux; macOS has 103, and is within the margin of the name above


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        return self.uid == os.geteuid()


def choose_account(data_dir: Path) -> Account:
    """Us, or for root the account that runs the server here already, else one that can."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    near = data_dir / "postgres"
    if near.exists() and (owner := near.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and there is no account 'postgres' or 'nobody' to run it as: "
        "run hintd as a user, or set [postgres] dsn to a server"
    )


def choose_place(data_dir: Path, account: Account, roots_place: Path = ROOTS_PLACE) -> Path:
    """The directory of the server's files: below ``data_dir`` unless the account cannot reach that."""
    near = data_dir / "postgres"
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    remembered = data_dir / "postgres.place"
    if remembered.exists():
        return Path(remembered.read_text("utf-8").strip())
    if account.is_ours or near.exists() or _can_reach(data_dir, account):
        return near
    place = roots_place / f"postgres-{_digest(data_dir)}"
    roots_place.mkdir(parents=True, exist_ok=True, mode=0o711)
    remembered.write_text(f"{place}\n", "utf-8")
    return place


def choose_socket_dir(place: Path, account: Account) -> Path:
    """In ``place``, or where that is too long for a socket's path, in a directory of our own below /tmp."""
    near = place / "run"
    if len(os.fsencode(f"{near}{_SOCKET_NAME}")) <= _SOCKET_PATH_LIMIT:
        make_private(near, account)
        return near
    short = Path(f"/tmp/hintd-{_digest(place)}")  # noqa: S108  checked below to be nobody else's
    make_private(short, account)
    return short


def make_private(directory: Path, account: Account) -> None:
    """Mode 0700 and the account's own.  Raises where somebody else has put something there."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), account.uid):
        raise EmbeddedPostgresError(f"{directory} belongs to another account: remove it, or choose another data_dir")
    os.chown(directory, account.uid, account.gid)
    directory.chmod(0o700)


def _can_reach(directory: Path, account: Account) -> bool:
    return all(_can_enter(each, account) for each in (directory, *directory.parents))


def _can_enter(directory: Path, account: Account) -> bool:
    found = directory.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
