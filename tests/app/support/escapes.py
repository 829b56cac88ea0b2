"""What code that has taken a decoder over tries: each function raises OSError where the system forbids it."""

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable

from app.engine.sandbox.system_calls import X86_64, own_architecture

# More than any version of Linux has.
NUMBERS = set(range(600))
if own_architecture() is X86_64:
    NUMBERS -= {335, 336}  # uretprobe and uprobe, which no filter sees; they end a process that no one traces
libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int) -> int:
    """A system call by its number."""
    libc.syscall.restype = ctypes.c_long
    result = int(libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call_all(_: int) -> None:
    """Every system call that is not listed, without arguments."""
    architecture = own_architecture()
    assert architecture is not None
    listed = set(architecture.numbers.values())
    allowed = []
    for number in sorted(NUMBERS):
        if number not in listed:
            try:
                call(number)
                allowed.append(number)
            except OSError as error:
                if error.errno != errno.EPERM:
                    allowed.append(number)
    if allowed:
        raise AssertionError(allowed)
    raise PermissionError(errno.EPERM, "")


def read_memory(pid: int) -> None:
    """Sixteen bytes of the service."""

    class Part(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    here = ctypes.create_string_buffer(16)
    mine, its = Part(ctypes.addressof(here), 16), Part(id(None), 16)
    if libc.process_vm_readv(pid, ctypes.byref(mine), 1, ctypes.byref(its), 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "")


def trace(pid: int) -> None:
    if libc.ptrace(16, pid, None, None) < 0:
        raise OSError(ctypes.get_errno(), "")


def leave_namespaces(_: int) -> None:
    if libc.unshare(0x10000000) < 0:
        raise OSError(ctypes.get_errno(), "")


def start_process(_: int) -> None:
    if os.fork() == 0:
        os._exit(0)


def raise_memory_limit(_: int) -> None:
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError as error:  # Python's word for EPERM here
        raise PermissionError from error


def send_descriptor(_: int) -> None:
    """A descriptor to the service."""
    for number in range(3, 64):
        try:
            with socket.socket(fileno=number) as channel:
                socket.send_fds(channel, [b"x"], [number])
                channel.detach()
        except OSError as error:
            if error.errno == errno.EPERM:
                raise


def start_thread(_: int) -> None:
    """The only one that is allowed."""
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


ESCAPES: dict[str, Callable[[int], object]] = {
    "open a file": lambda _: os.open("/etc/passwd", os.O_RDONLY),
    "make a file": lambda _: os.open("taken-over", os.O_CREAT | os.O_WRONLY),
    "list a folder": lambda _: os.listdir("/"),
    "delete a file": lambda _: os.unlink("taken-over"),
    "find a file": lambda _: os.stat("/"),
    "write to the log": lambda _: os.write(2, b"forged\n"),
    "make shared memory": lambda _: os.memfd_create("taken-over"),
    "make a TCP socket": lambda _: socket.socket(socket.AF_INET),
    "make a Unix socket": lambda _: socket.socket(socket.AF_UNIX),
    "make a pair of sockets": lambda _: socket.socketpair(),
    "make a pipe": lambda _: os.pipe(),
    "send a descriptor": send_descriptor,
    "start a process": start_process,
    "run a program": lambda _: os.execv(sys.executable, [sys.executable, "--version"]),
    "signal the service": lambda pid: os.kill(pid, 0),
    "signal everyone": lambda _: os.kill(-1, 0),
    "open the service": lambda pid: os.pidfd_open(pid),
    "trace the service": trace,
    "read the service's memory": read_memory,
    "read the service's files": lambda pid: os.open(f"/proc/{pid}/mem", os.O_RDONLY),
    "make memory that can be run": lambda _: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "leave its namespaces": leave_namespaces,
    "raise its limit of memory": raise_memory_limit,
    "lower its own priority": lambda _: os.nice(1),
    "make all other calls": call_all,
}


# What does no harm to a test if it succeeds.
HARMLESS = ("open a file", "make a TCP socket", "start a process", "make shared memory", "signal the service")


def try_all(pid: int, names: Iterable[str] = ESCAPES) -> str:
    """JSON: what each attack came to, EPERM being a refusal. `pid` is the service's."""
    found: dict[str, str] = {}
    for name, attack in {**{name: ESCAPES[name] for name in names}, "start a thread": start_thread}.items():
        try:
            attack(pid)
            found[name] = "done"
        except OSError as error:
            found[name] = errno.errorcode.get(error.errno or errno.EPERM, "?")
        except BaseException as error:
            found[name] = repr(error)
    return json.dumps(found)
