"""Stops a process of ours at each system call that changes files: kills it there, has the call fail, or lets it go on.

The kernel asks before it does the call (seccomp's user notification, Linux 5.7): no tracer, no compiler and no rights are
needed. The process itself installs the filter and sends the descriptor that listens.
"""

import ctypes
import errno
import fcntl
import os
import platform
import signal
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Literal

_NUMBERS = {
    "x86_64": {
        "write": 1,
        "pwrite64": 18,
        "writev": 20,
        "fsync": 74,
        "fdatasync": 75,
        "truncate": 76,
        "ftruncate": 77,
        "rename": 82,
        "mkdir": 83,
        "rmdir": 84,
        "link": 86,
        "unlink": 87,
        "symlink": 88,
        "openat": 257,
        "mkdirat": 258,
        "unlinkat": 263,
        "renameat": 264,
        "linkat": 265,
        "symlinkat": 266,
        "renameat2": 316,
        "seccomp": 317,
        "copy_file_range": 326,
    },
    "aarch64": {
        "write": 64,
        "pwrite64": 68,
        "writev": 66,
        "fsync": 82,
        "fdatasync": 83,
        "truncate": 45,
        "ftruncate": 46,
        "mkdirat": 34,
        "unlinkat": 35,
        "symlinkat": 36,
        "linkat": 37,
        "renameat": 38,
        "openat": 56,
        "renameat2": 276,
        "seccomp": 277,
        "copy_file_range": 285,
    },
}
_AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Position of the argument that names the file: a path, or an open descriptor.
_PATH_AT = {
    "truncate": 0,
    "rename": 0,
    "mkdir": 0,
    "rmdir": 0,
    "link": 0,
    "unlink": 0,
    "symlink": 1,
    "openat": 1,
    "mkdirat": 1,
    "unlinkat": 1,
    "renameat": 1,
    "linkat": 1,
    "symlinkat": 2,
    "renameat2": 1,
}
_DESCRIPTOR_AT = {"copy_file_range": 2}
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _FLAGS = 1, 1 | 8 | 16  # for all threads, with a listener, an error instead of a thread's number
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_RECEIVE, _ANSWER, _GO_ON = 0xC0502100, 0xC0182101, 1
_NOTICE = struct.Struct("=QIIiIQ6Q")


class NotStoppableError(Exception):
    """This machine does not let a process stop at its system calls; the message says why."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


@dataclass(frozen=True)
class Call:
    """A system call that the process is about to make, on the file `path`."""

    name: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} {self.path}"


def stop_at_changes(channel: socket.socket) -> None:
    """From now on, let whoever holds the other end of `channel` decide on every change of files by this process."""
    machine = platform.machine()
    if machine not in _NUMBERS:
        raise OSError(f"the numbers of system calls on {machine} are not known here")
    numbers = {name: number for name, number in _NUMBERS[machine].items() if name != "seccomp"}
    instructions = [
        (0x20, 0, 0, 4),
        (0x15, 0, len(numbers) + 1, _AUDIT_ARCHITECTURES[machine]),
        (0x20, 0, 0, 0),
        *((0x15, len(numbers) - position, 0, number) for position, number in enumerate(numbers.values())),
        (0x06, 0, 0, _ALLOW),
        (0x06, 0, 0, _ASK),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in instructions))
    program = _Program(len(instructions), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    listener = libc.syscall(_NUMBERS[machine]["seccomp"], _SET_MODE_FILTER, _FLAGS, ctypes.byref(program))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp: kernel 5.7 or later is needed, and a sandbox that allows filters")
    socket.send_fds(channel, [b"stopped"], [listener])


def receive_listener(channel: socket.socket) -> int:
    """The descriptor on which the kernel tells of the calls; raises NotStoppableError when the process could not arrange it."""
    message, descriptors, _, _ = socket.recv_fds(channel, 4096, 1)
    if not descriptors:
        raise NotStoppableError(f"system calls cannot be stopped here: {message.decode(errors='replace')}")
    return descriptors[0]


Fate = Literal["done", "killed", "failed"]
"""What becomes of a call: it is done, the process is killed right before it, or it fails with EIO and nothing is done."""


def watch(process: int, listener: int, channel: socket.socket, fate: Callable[[Call], Fate]) -> Call | None:
    """Decide on calls until the process says something on `channel` or ends (None), or is killed (before which call)."""
    while True:
        ready, _, _ = select([listener, channel.fileno()], [], [])
        if listener not in ready:
            return None
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, notice)
        except FileNotFoundError:
            # The thread that asked has gone, or the whole process, of which the listener tells no other way.
            if ready != [listener]:
                return None
            continue
        number, thread, _, system_call, _, _, *arguments = _NOTICE.unpack(notice)
        call = _described(thread, system_call, arguments)
        decided = "done" if call is None else fate(call)
        if decided == "killed":
            os.kill(process, signal.SIGKILL)
            return call
        error, flags = (-errno.EIO, 0) if decided == "failed" else (0, _GO_ON)
        try:
            fcntl.ioctl(listener, _ANSWER, struct.pack("=QqiI", number, 0, error, flags))
        except FileNotFoundError:
            continue


def _described(thread: int, system_call: int, arguments: list[int]) -> Call | None:
    """The call, None for one that opens a file without making or emptying it."""
    names = {number: name for name, number in _NUMBERS[platform.machine()].items()}
    name = names[system_call]
    if name == "openat" and not arguments[2] & (os.O_CREAT | os.O_TRUNC):
        return None
    try:
        if name in _PATH_AT:
            return Call(name, _text_at(thread, arguments[_PATH_AT[name]]))
        return Call(name, os.readlink(f"/proc/{thread}/fd/{arguments[_DESCRIPTOR_AT.get(name, 0)]}"))
    except OSError:
        return Call(name, "")


def _text_at(thread: int, address: int) -> str:
    with Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        # No more than what is left of the page is sure to be there; paths here are short.
        text = memory.read(4096 - address % 4096)
        if b"\0" not in text:
            text += memory.read(4096)
    return text.split(b"\0", 1)[0].decode(errors="replace")
