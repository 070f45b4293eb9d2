"""What comes back is what the command did: the same through a shell of this machine and SSH."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fcntl import F_GETFL, fcntl
from pathlib import Path
from shlex import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.host_session import HostSession, NotEnded, Unreachable
from orchestrator.route import Route
from orchestrator.shell import Shell

SOME = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def of(answer):
    return answer.code, answer.out, answer.err


def runs(pid):
    """Whether a process is there, and no mere zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


COMMANDS = {
    "nothing": ("true", 0, b"", b""),
    "both streams": ("echo out; echo err >&2; exit 3", 3, b"out\n", b"err\n"),
    "no newline": ("printf x; printf y >&2", 0, b"x", b"y"),
    "newlines at the end": (r"printf 'x\n\n\n'", 0, b"x\n\n\n", b""),
    "NUL bytes": (r"printf 'a\0b\0'; printf '\0' >&2", 0, b"a\0b\0", b"\0"),
    "reads its input": ("cat; read -r x; echo $?", 0, b"1\n", b""),
    "kills its shell": ("echo x; kill -9 $$", 137, b"x\n", b""),
    "ends by a signal": ("kill -TERM $$", 143, b"", b""),
    "exit code of ssh": ("exit 255", 255, b"", b""),
    "closes its output": ("exec 1>&-; echo err >&2", 0, b"", b"err\n"),
    "closes both": ("exec 1>&- 2>&-; exit 4", 4, b"", b""),
    "several lines": ("x='a\nb'\necho \"$x\"", 0, b"a\nb\n", b""),
    "quotes": ("""printf %s "it's" 'a "b"' $(printf '\\\\')""", 0, b'it\'sa "b"\\', b""),
    "no command": ("", 0, b"", b""),
    "a comment": ("true # no more", 0, b"", b""),
    "not found": ("/no/such/command 2>/dev/null", 127, b"", b""),
    "cannot be parsed": ("{ if; } 2>/dev/null", 2, None, None),
    "waits for what holds its output": (
        "(sleep 0.2; echo late) & echo now",
        0,
        b"now\nlate\n",
        b"",
    ),
    "the same with stderr": ("(sleep 0.2; echo late >&2) >/dev/null & :", 0, b"", b"late\n"),
    "in a session of its own": ("setsid sh -c 'sleep 0.2; echo late' & :", 0, b"late\n", b""),
    "one after the other": ("(sleep 0.1; (sleep 0.2; echo late) & ) & :", 0, b"late\n", b""),
    "no open files but three": ("echo /proc/self/fd/*", 0, None, b""),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command(session, name):
    command, code, out, err = COMMANDS[name]
    answer = session.run(command.encode())
    assert answer.code == code
    assert out is None or answer.out == out
    assert err is None or answer.err == err
    assert of(session.run(b"echo next")) == (0, b"next\n", b"")  # nothing of it is left over


def test_a_command_in_the_background_is_not_waited_for(session):
    begun = time.monotonic()
    answer = session.run(b"sleep 60 >/dev/null 2>&1 & echo $!")
    assert time.monotonic() - begun < 30
    os.kill(int(answer.out), 9)


def test_it_sees_what_a_command_of_ssh_sees(session):
    seen = session.run(b"echo /proc/self/fd/*; pwd; umask; env | grep -c SSH_ASKPASS").out
    descriptors = seen.splitlines()[0].split()
    assert {d.rpartition(b"/")[2] for d in descriptors} <= {b"0", b"1", b"2", b"3"}  # 3: the glob's
    assert session.run(b"cd /; umask 0").code == 0
    assert session.run(b"echo /proc/self/fd/*; pwd; umask; env | grep -c SSH_ASKPASS").out == seen


def test_a_command_that_waits_for_a_signal_gets_it(session):
    assert session.run(b"sleep 60 & kill -INT $!; kill -TERM $!; wait $!").code == 143
    assert session.run(b"trap 'exit 9' INT; kill -INT $$; exit 1").code == 9


@SOME
@given(out=st.binary(max_size=5_000), err=st.binary(max_size=5_000), code=st.integers(0, 255))
def test_any_bytes_come_back(session, out, err, code):
    one, two = (base64.b64encode(data).decode() for data in (out, err))
    command = f"echo {one} | base64 -d; echo {two} | base64 -d >&2; exit {code}"
    assert of(session.run(command.encode())) == (code, out, err)


@SOME
@given(word=st.binary(max_size=300).filter(lambda data: b"\0" not in data))
def test_any_bytes_go_there(session, word):
    quoted = b"'" + word.replace(b"'", b"'\"'\"'") + b"'"
    assert session.run(b"printf %s " + quoted).out == word


def test_a_nul_byte_cannot_go_there(session):
    with pytest.raises(ValueError, match="NUL"):
        session.run(b"echo \0")


def test_a_long_command(session):
    word = "x" * 100_000
    assert session.run(f"printf %s {word}".encode()).out == word.encode()
    assert session.run(b"true " + b"x" * 3_000_000).code == 126  # as with sh -c: too long
    assert session.run(b"true").code == 0


def test_much_output(session):
    size = 150_000_000
    answer = session.run(f"head -c {size} /dev/zero; head -c 1000000 /dev/zero >&2".encode())
    assert (len(answer.out), len(answer.err)) == (size, 1_000_000)
    assert not answer.out.strip(b"\0")


def test_output_that_looks_like_its_end(session):
    # What a command can learn of the shell above it does not end its output.
    command = b"tr '\\0' '\\n' </proc/$PPID/cmdline; ps -eww -o args 2>/dev/null | head -c 100000"
    assert session.run(command).code == 0
    assert of(session.run(b"printf '\\n0123456789abcdef0123456789abcdef 0 more\\n'"))[0] == 0
    assert session.run(b"echo next").out == b"next\n"


def test_many_commands(session):
    for number in range(1_000):
        assert session.run(b"echo %d" % number).out == b"%d\n" % number


def test_many_threads(session):
    def work(thread):
        for number in range(25):
            words = f"{thread} {number}"
            answer = session.run(f"echo {words}; echo {words} >&2; exit {thread}".encode())
            assert of(answer) == (thread, f"{words}\n".encode(), f"{words}\n".encode())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


@pytest.mark.parametrize("born", ["thread", "process"])
def test_who_reads_its_output_is_not_waited_for(session, born):
    # It is born while the command runs, and holds the end we read from.
    enough = threading.Event()
    others = []
    try:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(session.run, b"sleep 0.5; echo done", limit=10)
            time.sleep(0.2)
            if born == "thread":
                threading.Thread(target=enough.wait, args=[60]).start()
            else:
                others.append(subprocess.Popen(["sleep", "60"], pass_fds=reading_ends()))
            assert answer.result().out == b"done\n"
    finally:
        enough.set()
        for other in others:
            other.kill()
            other.wait()


def reading_ends():
    """Of all pipes that this process has open."""
    pipes = [int(path.name) for path in Path("/proc/self/fd").iterdir() if path.is_fifo()]
    return [fd for fd in pipes if fcntl(fd, F_GETFL) & os.O_ACCMODE == os.O_RDONLY]


def test_several_commands_at_once(session, tmp_path):
    # Each of the two waits for the other: they end only if both run at once.
    one, two = tmp_path / "one", tmp_path / "two"
    for pipe in (one, two):
        os.mkfifo(pipe)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(session.run, f"echo a >{one}; cat {two}".encode(), limit=30)
        second = pool.submit(session.run, f"cat {one}; echo b >{two}".encode(), limit=30)
        assert (first.result().out, second.result().out) == (b"b\n", b"a\n")


def test_a_command_that_is_late_is_ended_with_all_it_started(session, tmp_path):
    pids = tmp_path / "pids"
    keep = f"echo $$ >>{pids}; exec sleep 300"
    command = f"sh -c {quote(keep)} & setsid sh -c {quote(keep)} & echo begun; {keep}"
    begun = time.monotonic()
    with pytest.raises(NotEnded, match=r"did not end within 1\.5 s") as caught:
        session.run(command.encode(), limit=1.5)
    assert time.monotonic() - begun < 30
    assert caught.value.out == b"begun\n"
    found = pids.read_text().split()
    assert len(found) == 3
    assert not [pid for pid in found if runs(pid)]


def test_a_command_that_is_late_does_not_end_the_session(session):
    shell = session.run(b"echo $PPID").out
    with pytest.raises(NotEnded):
        session.run(b"sleep 300", limit=0.2)
    assert session.run(b"echo $PPID").out == shell


def test_other_commands_go_on_while_a_late_one_is_ended(session, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(session.run, f"cat {pipe}".encode(), limit=60)
        with pytest.raises(NotEnded):
            session.run(b"sleep 300", limit=0.2)
        pipe.write_text("still here")
        assert other.result().out == b"still here"


def test_a_command_that_floods_is_ended():
    session = HostSession(Route(words=("/bin/sh", "-c")), most=1_000_000)
    with pytest.raises(NotEnded, match="wrote more than 1000000 bytes"):
        session.run(b"yes")
    assert session.run(b"echo next").out == b"next\n"
    session.close()


def test_a_command_that_floods_until_its_time_limit(session):
    with pytest.raises(NotEnded):
        session.run(b"yes | head -c 500000000; sleep 300", limit=0.5)
    assert session.run(b"echo next").out == b"next\n"


def test_closing_leaves_nothing(session):
    session.run(b"true")
    shells = list(session._idle)
    session.close()
    assert shells
    assert all(shell._process.poll() is not None for shell in shells)
    assert session.run(b"echo again").out == b"again\n"


def test_a_forked_process_opens_its_own(session):
    session.run(b"true")
    shell = session.run(b"echo $PPID").out
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, session.run(b"echo $PPID").out)
        os._exit(0)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 100) not in {b"", shell}
    os.close(read)
    assert session.run(b"echo $PPID").out == shell


def test_no_shell_at_all():
    with pytest.raises(Unreachable, match="cannot be started: No such file"):
        HostSession(Route(words=("/no/such/program",))).run(b"true")


@pytest.mark.parametrize("shell", ["bash", "dash", "busybox"])
def test_any_shell_will_do(shell):
    if subprocess.run(["which", shell], capture_output=True, check=False).returncode:
        pytest.skip(f"{shell} is not installed")
    name = "busybox sh" if shell == "busybox" else shell
    session = HostSession(Route(words=("/bin/sh", "-c"), shell=f"exec {name}"))
    kept = session.run(b"true") and session.run(b"echo $PPID").out
    for command, code, out, err in COMMANDS.values():
        answer = session.run(command.encode())
        assert (answer.code, answer.out, answer.err) == (
            code,
            answer.out if out is None else out,
            answer.err if err is None else err,
        )
    with pytest.raises(NotEnded):
        session.run(b"sleep 300", limit=0.2)
    assert session.run(b"echo $PPID").out == kept
    session.close()


def test_a_shell_that_cannot_tell_what_runs_is_used_once(monkeypatch):
    prelude = "orchestrator.shell._PRELUDE"
    from orchestrator import shell as module  # noqa: PLC0415

    monkeypatch.setattr(prelude, module._PRELUDE.replace("/proc/loadavg", "/proc/no"))
    session = HostSession(Route(words=("/bin/sh", "-c")))
    assert of(session.run(b"echo a")) == (0, b"a\n", b"")
    assert not session._idle
    assert of(session.run(b"sleep 0.2 & echo b")) == (0, b"b\n", b"")


def test_shells_opened_at_once_are_counted():
    session = HostSession(Route(words=("/bin/sh", "-c")))
    threads = [threading.Thread(target=session.run, args=(b"sleep 0.3",)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(session._idle) <= 6
    session.close()


def test_an_idle_shell_that_says_something_is_not_used_again():
    shell = Shell(Route(words=("/bin/sh", "-c")))
    assert shell.alive()
    Path(f"/proc/{shell.pid}/fd/3").write_text("unasked")
    assert not shell.alive()
    shell.close()
