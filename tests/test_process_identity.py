"""A process is told from any other that has or had its number."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

from rlquant.process_identity import ProcessIdentity


def test_this_process_runs() -> None:
    own = ProcessIdentity.own()
    assert own == ProcessIdentity.own()
    assert own.pid == os.getpid()
    assert own.is_of_this_machine
    assert own.runs is True


def test_a_number_that_another_process_has_now_is_not_the_process() -> None:
    own = ProcessIdentity.own()
    assert own.started is not None
    assert replace(own, started=own.started - 1).runs is False
    assert replace(own, started=None).runs is True  # a system that does not say when it started


def test_a_number_that_no_process_has_does_not_run() -> None:
    own = ProcessIdentity.own()
    assert replace(own, pid=2**22 + 1).runs is False  # above the largest there is
    assert replace(own, pid=10**30).runs is False


def test_a_process_that_has_ended_does_not_run_though_nobody_asked_for_its_code() -> None:
    child = subprocess.Popen(["sleep", "60"])
    identity = replace(ProcessIdentity.own(), pid=child.pid, started=None)
    try:
        assert identity.runs is True
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie
        assert identity.runs is False
    finally:
        child.wait()


def test_a_process_from_before_a_restart_does_not_run() -> None:
    before = replace(ProcessIdentity.own(), boot="another start")
    assert before.is_of_this_machine
    assert before.runs is False


def test_of_another_machine_or_container_it_cannot_be_told() -> None:
    own = ProcessIdentity.own()
    elsewhere = replace(own, host="elsewhere", boot="another start")
    assert not elsewhere.is_of_this_machine
    assert elsewhere.runs is None
    container = replace(own, host="0123abcd", space="pid:[1]")
    assert container.is_of_this_machine
    assert container.runs is None
