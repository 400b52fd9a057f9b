"""The real engine against a model of it, in any order of requests, sweeps, waits, rivals and crashes."""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from s3_process import KEYS, S3Process
from upload_machine import UploadMachine
from upload_machines import MACHINES, S3_POINTS, InABucket, InMemory, OnDisk, Scanned

RUNS, STEPS = 260, 60  # about 55 steps in each run
FEWEST = 6  # in a bucket
FEWER = 110  # for the durabilities that differ from the others in few places
KINDS = (
    "as expected", "completed", "joined", "Gone", "BadRequest", "OffsetMismatch", "TooLarge", "BodyMismatch",
    "Failed", "Unavailable", "rival head", "rival patch", "rival delete", "died", "clock set",
)  # fmt: skip
# For the few runs of most machines. Which steps are tried is not the same in each process: hypothesis looks for numbers
# in the modules that are loaded.
TOO_RARE = {"died, recorded", "Unavailable", "rival patch", "BadRequest", "BodyMismatch"}
CHECKED = ("completed", "joined", "Gone", "Failed", "Unchecked")


def run(machine: type[UploadMachine], runs: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_engine_checks_as_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onward.server.uploads.completion.BRIEFLY", 0)
    run(Scanned, FEWER)
    rare = {kind for kind in CHECKED if Scanned.answers[kind] < 2}
    assert not rare, f"hardly tried: {rare}, of {Scanned.answers}"


def test_the_engine_does_as_the_model_in_a_bucket(versitygw: S3Process) -> None:
    os.environ.update(KEYS)
    InABucket.server, InABucket.bucket = versitygw, versitygw.new_bucket()
    run(InABucket, FEWEST)
    answers = InABucket.answers
    rare = {kind for kind in ("completed", "Gone", "stopped") if answers[kind] < 2}
    assert not rare, f"hardly tried: {rare}, of {answers}"
    assert sum(answers[f"died, {point}"] for point in S3_POINTS), answers


@pytest.mark.parametrize("machine", MACHINES)
def test_the_engine_does_as_the_model(machine: type[UploadMachine]) -> None:
    many = machine in (InMemory, OnDisk)
    runs = RUNS if many else FEWER
    run(machine, runs)
    assert machine.steps >= 38 * runs
    stopped = () if machine is InMemory else ("stopped",)  # nothing in memory outlives it
    tried = {*KINDS, "died, recorded", *stopped} - (set() if many else TOO_RARE)
    rare = {kind for kind in tried if machine.answers[kind] < 2}
    assert not rare, f"hardly tried: {rare}, of {machine.answers}"
