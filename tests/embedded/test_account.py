"""The account that root's server runs as is made once, however many start at the same moment."""

from __future__ import annotations

import subprocess
import threading
from types import SimpleNamespace

import pytest

from fulgor.embedded import account as module


def test_two_at_once_make_one_account(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SimpleNamespace] = []
    nobody_there = threading.Barrier(2)
    looked = threading.local()

    def find(name: str) -> SimpleNamespace:
        found = list(made)
        if not hasattr(looked, "once"):
            looked.once = True
            nobody_there.wait(60)
        if not found:
            raise KeyError(name)
        return found[-1]

    def useradd(*_: object) -> subprocess.CompletedProcess[str]:
        threading.Event().wait(0.1)  # as slow as the real one: the other looks and finds nobody
        made.append(SimpleNamespace(pw_name=module.ACCOUNT_NAME, pw_uid=999 - len(made), pw_gid=999))
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(module.pwd, "getpwnam", find)
    monkeypatch.setattr(module.shutil, "which", lambda *_, **__: "/usr/sbin/useradd")
    monkeypatch.setattr(module, "run_as", useradd)
    accounts: list[module.Account] = []
    threads = [threading.Thread(target=lambda: accounts.append(module._own_account())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {account.uid for account in accounts} == {made[0].pw_uid}
    assert len(made) == 1
