"""Gives this process a root folder of its own, in the namespaces that unshare(1) has made.

The new root holds read-only views of some folders, an empty folder to work in, a few devices and a
private `/proc`. Nothing else of the machine can be reached by a path. Only the standard library is
imported here. Linux 5.12 or later.
"""

import ctypes
import os
import platform
import struct
from contextlib import suppress
from pathlib import Path

# From linux/mount.h, linux/prctl.h, linux/capability.h and the tables of system calls
READ_ONLY, NO_SUID, NO_DEVICES, NO_PROGRAMS, BIND = 1, 2, 4, 8, 4096 | 16384  # BIND: recursively
DETACH, THIS_FOLDER, ALL_BELOW = 2, -100, 0x8000
MOUNT_SETATTR = 442
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
SET_DUMPABLE, DROP_BOUNDING, NO_NEW_PRIVILEGES, CAPABILITIES = 4, 24, 38, 64
CAPABILITIES_V3 = 0x20080522

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
USERS = {"/etc/passwd": "root:x:0:0::/:/bin/false\n", "/etc/group": "root:x:0:\n"}
MOST_FILES = 65_536  # in the folder to work in


def enter(
    root: Path, shown: tuple[str, ...], hidden: tuple[str, ...], work: str, size: int
) -> None:
    """Replace the root folder of this process, and give up all privileges.

    Args:
        root: An empty folder, at which the new root is made; nothing is written to its disk.
        shown: Files and folders to show at the same path, read-only; links are made again.
        hidden: Files and folders in these to cover, by an empty file or folder.
        work: Path of the folder to work in, which is new, empty and in memory.
        size: Most bytes in it.

    Raises:
        OSError: If the system does not allow a step.
        KeyError: If the system call's number is not known for this machine.
    """
    _mount("tmpfs", root, "tmpfs", 0, "size=16m,mode=755")
    for path in (*shown, *DEVICES):
        _show(path, root)
    for path in hidden:
        if Path(path).is_dir():
            _mount("tmpfs", f"{root}{path}", "tmpfs", READ_ONLY, "size=4k,mode=755")
        else:
            _mount("/dev/null", f"{root}{path}", None, BIND, None)
    for path, text in USERS.items():
        Path(f"{root}{path}").parent.mkdir(parents=True, exist_ok=True)
        Path(f"{root}{path}").write_text(text)
    for path in ("/proc", "/dev/shm", work):
        Path(f"{root}{path}").mkdir(parents=True, exist_ok=True)
    locked = READ_ONLY | NO_SUID | NO_DEVICES | NO_PROGRAMS
    _mount("proc", f"{root}/proc", "proc", locked, None)
    _set_read_only(root)
    for path in ("/dev/shm", work):
        options = f"size={size},nr_inodes={MOST_FILES},mode=700"
        _mount("tmpfs", f"{root}{path}", "tmpfs", NO_SUID | NO_DEVICES, options)
    os.chdir(root)
    _call("syscall", PIVOT_ROOT[platform.machine()], b".", b".")
    _call("umount2", b".", DETACH)  # the old root, which lies over the new one
    os.chdir("/")
    _drop_privileges()


def forbid_user_namespaces() -> None:
    """Let no process of this user namespace make another one, in which it would have privileges."""
    with suppress(OSError):  # `/proc/sys` may be read-only; mounts cannot be undone in any case
        Path("/proc/sys/user/max_user_namespaces").write_text("0")


def _show(path: str, root: Path) -> None:
    """Show a file, folder or link of the old root in the new one, if it exists."""
    source, target = Path(path), Path(f"{root}{path}")
    if not os.path.lexists(source) or os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    _mount(path, target, None, BIND, None)


def _mount(
    source: str, target: str | Path, kind: str | None, flags: int, options: str | None
) -> None:
    texts = [None if t is None else os.fsencode(t) for t in (source, target, kind, options)]
    _call("mount", *texts[:3], ctypes.c_ulong(flags), texts[3])


def _set_read_only(root: Path) -> None:
    """Make everything below a folder read-only, without programs that change the user."""
    attributes = struct.pack("QQQQ", READ_ONLY | NO_SUID, 0, 0, 0)
    call = ctypes.c_long(MOUNT_SETATTR), THIS_FOLDER, os.fsencode(root), ALL_BELOW
    _call("syscall", *call, attributes, ctypes.c_size_t(len(attributes)))


def _drop_privileges() -> None:
    """Give up all capabilities, also those that a program would gain, and allow no tracing."""
    libc = ctypes.CDLL(None)
    for capability in range(CAPABILITIES):  # the system has fewer, and refuses the others
        libc.prctl(DROP_BOUNDING, capability, 0, 0, 0)
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _call("capset", struct.pack("Ii", CAPABILITIES_V3, 0), bytes(24))
    _call("prctl", SET_DUMPABLE, 0, 0, 0, 0)


def _call(name: str, *arguments: object) -> None:
    """Call a function of the C library that returns 0, or raise its error."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
