"""Become a child of the stack: bind this process's life to its parent's, drop root, then exec.

Run as a program of its own, so that nothing of ours runs between a fork and an exec:
``python -IS launch.py PARENT SIGNAL UID GID -- COMMAND …``. For UID and GID, ``-`` stays who we
are.

On Linux the kernel sends SIGNAL to the child when the parent dies, kill -9 included. Elsewhere the
next ``up`` ends what was left over (see ``local.process``).
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
    parent, signal, uid, gid, _, *command = arguments
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if uid != "-":
        if libc:
            # setuid(2) then drops no capability, and access(2) counts those that are left.
            libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
        if libc:
            _keep_only_file_access(libc)
    if libc:
        # Changing the user clears it, so it comes last.
        libc.prctl(_PR_SET_PDEATHSIG, int(signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the parent died during the start")
    os.execv(command[0], command)  # noqa: S606 - there is no shell on purpose


def _keep_only_file_access(libc: ctypes.CDLL) -> None:
    """Keep, of all root's powers, the one to use a checkout that only root may enter.

    Where root itself lacks it (some containers), exec drops all powers: the paths may be open to
    the child all the same, and if not, it says so itself.
    """
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    mask = 1 << _CAP_DAC_OVERRIDE
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask)
    if libc.capset(header, effective_permitted_inheritable) == 0:
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
