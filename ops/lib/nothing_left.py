"""Runs a command and sees to it that no process and no temporary file outlives it: nothing_left.py COMMAND...

Orphans of the command, however detached, become children of this process. When the command has ended, those still there
after a moment's grace are named, ended, and make the exit status 1. Its temporary files are in a directory of their own, since what is
killed on purpose removes none.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 5.0


def descendants() -> dict[int, str]:
    """The living descendants of this process, with their command lines."""
    parents, names = {}, {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                state, parent = stat.read().rpartition(")")[2].split()[:2]
            with open(f"/proc/{entry}/cmdline", "rb") as cmdline:
                name = cmdline.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended meanwhile
        if state not in "ZX":
            parents[int(entry)], names[int(entry)] = int(parent), name

    def is_ours(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return {pid: names[pid] for pid in parents if is_ours(pid)}


def reap() -> None:
    """Collects the orphans that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def wait_until_none_is_left(seconds: float) -> dict[int, str]:
    deadline = time.monotonic() + seconds
    while True:
        reap()
        left = descendants()
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def end_all() -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in wait_until_none_is_left(0):
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                pass
        if not wait_until_none_is_left(GRACE_S):
            return


def interrupted(sign: int, _frame: object) -> None:
    end_all()
    raise SystemExit(128 + sign)


def temporary_directory() -> str:
    """For all users, as a Postgres started by root runs as another. The name is short: sockets are made below it."""
    directory = tempfile.mkdtemp(prefix="tm-")
    os.chmod(directory, 0o1777)
    return directory


def main() -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, interrupted)

    directory = temporary_directory()
    try:
        status = subprocess.Popen(sys.argv[1:], env={**os.environ, "TMPDIR": directory}).wait()
        left = wait_until_none_is_left(GRACE_S)
        if left:
            print("error: these processes were left behind, and have been ended:", file=sys.stderr)
            for pid, name in sorted(left.items()):
                print(f"       {pid} {name}", file=sys.stderr)
            end_all()
        return status or (1 if left else 0)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


sys.exit(main())
