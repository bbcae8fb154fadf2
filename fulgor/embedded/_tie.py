"""Become a program that the kernel ends when its owner dies. A script, run by :mod:`.lifetime`.

``python -I -S _tie.py OWNER SIGNAL UID GID PROGRAM [ARGUMENT...]``; UID and GID of -1 keep the user.
It imports only the standard library's smallest parts: it stands before every start of a service.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Drop to the account, ask for the death signal, and turn into the program."""
    owner, death_signal, uid, gid = (int(text) for text in arguments[:4])
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After the change of user, which clears the setting; exec of an ordinary program keeps it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != owner:
        sys.exit("the owner ended before the service began")
    os.execv(arguments[4], arguments[4:])  # noqa: S606 - becoming the program is the point


if __name__ == "__main__":
    main(sys.argv[1:])
