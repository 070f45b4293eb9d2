"""What must not look like an answer: lost sessions, hosts that are gone, keys that changed."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pausing import pause
from sshd import Sshd

from orchestrator import host_session
from orchestrator.host_session import HostSession, NotEnded, Unreachable
from orchestrator.route import Route, ansible_route
from orchestrator.shell import Shell


@pytest.fixture
def short_folder():
    """A folder whose name leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def shells_of(session):
    """The processes of this machine that hold a session's shells open."""
    return [shell._process for shell in session._idle]


def test_a_session_that_ends_between_commands_is_reopened(own_server, own_session):
    assert own_session.run(b"echo 1").out == b"1\n"
    own_server.end_connections()
    assert own_session.run(b"echo 2", repeat=False).out == b"2\n"


def test_a_client_that_is_killed_between_commands_is_started_again(own_session):
    own_session.run(b"true")
    for process in shells_of(own_session):
        process.kill()
        process.wait()
    assert own_session.run(b"echo 2", repeat=False).out == b"2\n"


def in_the_middle(session, folder, *, repeat=True, once=True):
    """Start a command, wait until it runs, and return what to wait for, and how often it began."""
    pipe, begun = folder / "pipe", folder / "begun"
    os.mkfifo(pipe)
    end = f"[ $(wc -l <{begun}) -gt 1 ] &&" if once else ""
    command = f"echo x >>{begun}; echo some; {end} exit 0; echo >{pipe}; sleep 30"
    if not once:
        command = f"echo x >>{begun}; echo some; echo >{pipe}; sleep 30"
    pool = ThreadPoolExecutor(1)
    running = pool.submit(session.run, command.encode(), repeat=repeat)
    pipe.read_text()
    return running, lambda: len(begun.read_text().splitlines())


def test_a_session_that_ends_in_the_middle_of_a_command_repeats_it(
    own_server, own_session, tmp_path, caplog
):
    running, times = in_the_middle(own_session, tmp_path)
    own_server.end_connections()
    assert running.result(60).out == b"some\n"  # once: nothing of the first is in it
    assert times() == 2
    assert "which is repeated" in caplog.text


def test_a_command_that_must_not_run_twice_does_not(own_server, own_session, tmp_path):
    running, times = in_the_middle(own_session, tmp_path, repeat=False)
    own_server.end_connections()
    with pytest.raises(Unreachable, match="lost while a command ran"):
        running.result(60)
    assert times() == 1
    assert own_session.run(b"echo next").out == b"next\n"


def test_a_host_that_goes_in_the_middle_of_a_command_is_unreachable(
    own_server, own_session, tmp_path
):
    running, _ = in_the_middle(own_session, tmp_path, once=False)
    own_server.cut()
    with pytest.raises(Unreachable, match="Connection refused"):
        running.result(60)


def test_a_command_that_ends_its_session_each_time_is_unreachable(own_session):
    with pytest.raises(Unreachable, match="lost twice"):
        own_session.run(b"kill -9 $PPID")
    assert own_session.run(b"echo next").out == b"next\n"


def test_a_server_that_is_gone_and_comes_back(own_server, own_session):
    own_session.run(b"true")
    own_server.cut()
    with pytest.raises(Unreachable, match="Connection refused"):
        own_session.run(b"true")
    own_server.start()
    assert own_session.run(b"echo back").out == b"back\n"


def test_a_host_key_that_changed(own_server, own_session):
    own_session.run(b"true")
    own_server.cut()
    own_server.make_key("host")
    own_server.start()
    with pytest.raises(Unreachable, match="IDENTIFICATION HAS CHANGED"):
        own_session.run(b"true")
    own_server.trust()
    assert own_session.run(b"echo trusted").out == b"trusted\n"


def test_a_host_key_that_is_not_known(own_server, own_session):
    own_server.known.unlink()
    with pytest.raises(Unreachable, match="Host key verification failed"):
        own_session.run(b"true")


def test_a_key_that_is_not_let_in_is_tried_once(own_server, own_session):
    own_server.make_key("id")
    with pytest.raises(Unreachable, match="Permission denied"):
        own_session.run(b"true")
    assert own_server.log().count("Failed publickey") == 1


def test_a_host_that_hangs_while_it_is_asked(own_server, own_session, monkeypatch):
    monkeypatch.setattr("orchestrator.shell.OPENING", 1.0)
    pause(own_server.process.pid)
    with pytest.raises(Unreachable, match="timed out"):
        own_session.run(b"true")
    own_server.process.send_signal(signal.SIGCONT)
    monkeypatch.undo()
    assert own_session.run(b"true").code == 0


def test_a_hanging_connection_is_ended_by_the_time_limit(own_server, own_session, monkeypatch):
    own_session.run(b"true")
    monkeypatch.setattr(host_session, "_GRACE", 0.5)
    monkeypatch.setattr("orchestrator.shell.OPENING", 0.5)
    stopped = own_server._connections()
    for pid in stopped:
        pause(pid)
    with pytest.raises(NotEnded, match=r"did not end within 0\.3 s, and could not be ended"):
        own_session.run(b"true", limit=0.3)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    assert own_session.run(b"echo next").out == b"next\n"


def test_noise_of_a_login_is_not_an_answer(own_server):
    (own_server.folder / "noisy").write_text("echo on stdout; echo on stderr >&2; exec /bin/sh\n")
    noisy = Route(words=own_server.route.words, shell=f"exec /bin/sh {own_server.folder / 'noisy'}")
    session = HostSession(noisy)
    answer = session.run(b"echo out; echo err >&2")
    assert (answer.out, answer.err) == (b"out\n", b"err\n")
    session.close()


def test_without_a_shared_connection(tmp_path):
    server = Sshd(tmp_path / "sshd", shared=False)
    try:
        session = HostSession(server.route)
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda n: session.run(b"echo %d" % n).out, range(50))
            assert list(answers) == [b"%d\n" % n for n in range(50)]
        with pytest.raises(NotEnded):
            session.run(b"sleep 30", limit=0.2)
        session.close()
    finally:
        server.stop()


def test_many_hosts_are_opened_at_once(server):
    sessions = [HostSession(server.route) for _ in range(10)]
    together = threading.Barrier(10, timeout=60)

    def opening(session):
        together.wait()
        session.open()
        return session.run(b"echo 1").out

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(opening, sessions)) == [b"1\n"] * 10
    for session in sessions:
        session.close()


def test_more_sessions_than_the_server_allows_on_a_connection(server):
    sessions = [HostSession(server.route) for _ in range(14)]
    assert [session.run(b"echo 1").out for session in sessions] == [b"1\n"] * 14
    for session in sessions:
        session.close()


def test_the_connection_of_ansible_is_shared(own_server, short_folder):
    args = " ".join(f"-o {name}={value}" for name, value in own_server.options.items())
    known = {
        "ansible_host": "127.0.0.1",
        "ansible_port": own_server.port,
        "ansible_user": own_server.user,
        "ansible_ssh_args": args.replace(f"-o ControlPath={own_server.folder}/m", ""),
        "ansible_control_path_dir": str(short_folder),
    }
    first, second = (HostSession(ansible_route("h", known)) for _ in range(2))
    assert first.run(b"echo 1").out == b"1\n"
    assert len(list(short_folder.iterdir())) == 1
    assert second.run(b"echo 2").out == b"2\n"
    assert own_server.log().count("Accepted publickey") == 1
    first.close()
    assert second.run(b"echo 3").out == b"3\n"
    second.close()
    socket = next(short_folder.iterdir())
    words = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "h"]
    subprocess.run(words, capture_output=True, check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="becomes other users")
class TestBecome:
    """Another user than the one who logs in."""

    def session(self, server, **known):
        args = " ".join(f"-o {name}={value}" for name, value in server.options.items())
        known = {
            "ansible_host": "127.0.0.1",
            "ansible_port": server.port,
            "ansible_ssh_args": args,
            "ansible_become": True,
            **known,
        }
        return HostSession(ansible_route("h", known))

    @pytest.mark.parametrize("method", ["sudo", "su"])
    def test_without_a_password(self, server, method):
        session = self.session(
            server,
            ansible_become_method=method,
            ansible_become_user="games",
            ansible_su_flags="-s /bin/sh",
        )
        assert session.run(b"id -un").out == b"games\n"
        with pytest.raises(NotEnded, match=r"did not end within 0\.2 s$"):
            session.run(b"sleep 30", limit=0.2)
        assert session.run(b"id -un").out == b"games\n"
        session.close()

    @pytest.mark.parametrize(
        ("asks", "password", "said"),
        [
            ("always", "secret", b"secret\n"),
            ("always", "wrong", "the become password is wrong"),
            ("never", "secret", b"\n"),
        ],
    )
    def test_a_password_goes_to_who_asks_for_it(self, server, tmp_path, asks, password, said):
        # A stand-in for sudo: it asks as sudo -S does, or not; what it was told is in SEEN.
        stand_in = tmp_path / "sudo"
        stand_in.write_text(
            "#!/bin/sh\nSEEN=\n"
            "while [ $# -gt 0 ]; do case $1 in -p) p=$2; shift;; -u) shift;; -*) ;;"
            " *) break;; esac; shift; done\n"
            f'while [ {asks} = always ] && [ "$SEEN" != secret ]; do\n'
            'printf %s "$p" >&2; read -r SEEN || exit 1; done\nexport SEEN; exec "$@"\n'
        )
        stand_in.chmod(0o755)
        session = self.session(
            server, ansible_become_exe=str(stand_in), ansible_become_password=password
        )
        if isinstance(said, str):
            with pytest.raises(Unreachable, match=said):
                session.run(b"true")
        else:
            assert session.run(b'echo "$SEEN"; cat').out == said
            assert session.run(b"echo next").err == b""
        session.close()

    def test_sudo_that_wants_a_password_nobody_gave(self, server, tmp_path):
        stand_in = tmp_path / "sudo"
        stand_in.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
        stand_in.chmod(0o755)
        session = self.session(server, ansible_become_exe=str(stand_in))
        with pytest.raises(Unreachable, match="sudo: a password is required"):
            session.run(b"true")


def test_a_shell_that_was_lost_says_what_ssh_said(own_server):
    shell = Shell(own_server.route)
    own_server.cut()
    shell.start(b"true")
    with pytest.raises(host_session.Gone):
        shell.wait()
    shell.close()
