"""Prepare a child process of the stack, then exec its program.

The child first ties its life to its parent and, if asked to, gives up root. These steps run in a
program of their own, so that no Python code runs between the parent's fork and exec:
``python -IS child_bootstrap.py PARENT_PID SIGNAL UID GID -- COMMAND …``. ``-`` as UID and GID keeps
the parent's user.

On Linux the kernel sends SIGNAL to the child when its parent dies, ``kill -9`` included. On other
systems the next ``up`` ends the orphans (see ``local.child_process``).
"""

import ctypes
import os
import sys

# linux/prctl.h, linux/securebits.h, linux/capability.h
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


def main(arguments: list[str]) -> None:
    """Apply the settings of the arguments to this process and replace it with the command."""
    parent, signal, uid, gid, _, *command = arguments
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if uid != "-":
        if libc:
            # With this bit, setuid(2) keeps the capabilities; access(2) then honours them.
            libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
        if libc:
            _keep_only_file_access(libc)
    if libc:
        # Last, because a change of user clears the death signal.
        libc.prctl(_PR_SET_PDEATHSIG, int(signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("The parent process died while this child started.")
    os.execv(command[0], command)  # noqa: S606 - there is no shell on purpose


def _keep_only_file_access(libc: ctypes.CDLL) -> None:
    """Drop every capability of root except the one that reads a checkout which only root may read.

    Where root itself lacks that capability (in some containers), exec drops all of them. The
    child's paths may still be readable; if they are not, the child reports it.
    """
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    mask = 1 << _CAP_DAC_OVERRIDE
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask)
    if libc.capset(header, effective_permitted_inheritable) == 0:
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
