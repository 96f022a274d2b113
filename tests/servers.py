"""Real servers that the tests start, each once a session, on a free port and in a folder of its own.

`SHOAL_TEST_POSTGRES_URL` names a server that runs already (its user must be allowed to make databases). Absent and not
startable: a loud skip with the command that helps; in CI a failure.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest


def missing(what: str, command: str) -> NoReturn:
    """Skip, saying how to get what is missing; fail in CI, where it has to be there."""
    message = f"{what} is needed here; get it with: {command}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binaries() -> Path | None:
    """The newest PostgreSQL's programs: Debian's place, or where the path says."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name.split(".")[0]))
    found = [path for path in debian if (path / "initdb").exists() and (path / "pg_ctl").exists()]
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path).resolve().parent if on_path else None


def _as_user(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: then Debian's own user runs it, and owns the folder."""
    if os.getuid() != 0:
        return []
    if subprocess.run(["id", "postgres"], capture_output=True).returncode or not shutil.which("setpriv"):
        missing("the system user `postgres`", "apt-get install postgresql")
    shutil.chown(folder, "postgres", "postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]


def _told(command: list[str], folder: Path) -> None:
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120)
    log = folder / "log"
    tail = log.read_text()[-2000:] if log.exists() else ""
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}\n{tail}"


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, over loopback and with a password."""
    given = os.environ.get("SHOAL_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    binaries = _binaries()
    if binaries is None:
        missing("PostgreSQL", "apt-get install postgresql")
    # A short path, since a socket's may have 107 bytes; its folder is the user's alone.
    folder = Path(tempfile.mkdtemp(prefix="shoal-pg-"))
    try:
        user = _as_user(folder)
        data, port = folder / "data", free_port()
        (folder / "password").write_text("throw away")
        (folder / "password").chmod(0o644)
        # An order that is not by code point, and case apart: what depends on the server's locale shows.
        locale = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        access = ["--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile", str(folder / "password")]
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "shoal", "-E", "UTF8", "--no-sync"]
        _told([*user, *initdb, *locale, *access], folder)
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=50"
        control = [*user, str(binaries / "pg_ctl"), "-D", str(data)]
        _told([*control, "-l", str(folder / "log"), "-o", options, "-w", "-t", "60", "start"], folder)
        try:
            yield f"postgresql://shoal:throw%20away@127.0.0.1:{port}/postgres"
        finally:
            _told([*control, "-m", "immediate", "-w", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_database(server: str, name: str) -> Iterator[str]:
    """The URL of a fresh database on the server; dropped at the end."""
    try:
        import psycopg
        from psycopg import sql
    except ImportError:
        missing("psycopg", "pip install 'shoal[postgres]'")
    with psycopg.connect(server, autocommit=True) as connection:
        which = sql.Identifier(name)
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(which)
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(which))
        base, _, query = server.partition("?")
        try:
            yield base.rsplit("/", 1)[0] + f"/{name}" + (f"?{query}" if query else "")
        finally:
            connection.execute(drop)
