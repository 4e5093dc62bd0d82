"""The GPU process: its threads, its end, and which jobs may start in it."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch

import generators.workers.admission
import generators.workers.scheduler
from benchmark.recipes import RECIPES
from benchmark.space.imagesets import get_images
from benchmark.space.layer_walk import walk
from generators.workers.admission import Pace, device_room, predicted_memory
from generators.workers.gpu_process import GpuProcess
from generators.workers.planned_run import Job, Row
from generators.workers.scheduler import job_memory, local_pool, run_jobs
from generators.workers.worker import prepare, prepare_gpu, train_run
from tests.toys.campaign import (
    job_of,
    options_of,
    tiny_architecture,
    tiny_plan,
    toy_campaign,
    toy_row,
    without_times,
)

PLAN = tiny_plan(4)


def nothing() -> None:
    """Prepare nothing."""


def place() -> tuple[int, int]:
    """Return the process id and thread id of a call that takes 0.2 seconds."""
    time.sleep(0.2)
    return os.getpid(), threading.get_ident()


def fail(text: str) -> None:
    raise ValueError(text)


def end() -> None:
    os._exit(1)


class TwoPartError(Exception):
    """An error that pickle cannot make again."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def fail_in_two_parts() -> None:
    raise TwoPartError("not", "made again")


def test_an_error_that_cannot_be_sent_is_described() -> None:
    with GpuProcess(1, nothing) as process:
        with pytest.raises(RuntimeError, match=r"^TwoPartError: not made again$"):
            process.submit(fail_in_two_parts).result(timeout=60)
        assert process.submit(place).result(timeout=60)[0] != os.getpid()


def test_calls_run_on_threads_of_one_other_process() -> None:
    with GpuProcess(3, nothing) as process:
        places = [future.result() for future in [process.submit(place) for _ in range(6)]]
    assert {process for process, _ in places} != {os.getpid()}
    assert len({process for process, _ in places}) == 1
    assert len({thread for _, thread in places}) == 3


def test_an_error_of_a_call_is_raised_with_its_result() -> None:
    with GpuProcess(1, nothing) as process:
        failing, fine = process.submit(fail, "so"), process.submit(divmod, 7, 2)
        with pytest.raises(ValueError, match=r"^so$"):
            failing.result()
        assert fine.result() == (3, 1)


def test_the_end_of_the_process_breaks_unfinished_and_later_calls() -> None:
    with GpuProcess(2, nothing) as process:
        lost = [process.submit(time.sleep, 60), process.submit(end)]
        wait(lost)
        for future in lost:
            with pytest.raises(BrokenProcessPool, match=r"^the GPU process has ended$"):
                future.result()
        with pytest.raises(BrokenProcessPool, match=r"^the GPU process has ended$"):
            process.submit(place)


def settings() -> tuple[bool, ...]:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    exact = torch.are_deterministic_algorithms_enabled()
    return cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32, exact


def test_a_gpu_process_uses_full_fp32_and_deterministic_kernels() -> None:
    with GpuProcess(1, prepare_gpu) as process:
        assert process.submit(settings).result() == (False, False, False, True)


def test_a_gpu_process_gives_the_rows_of_a_single_worker(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1, initializer=prepare) as pool:
        alone = [without_times(row) for row in pool.map(train_run, map(job_of, PLAN))]
    with GpuProcess(3, prepare_gpu) as process:
        futures = [process.submit(train_run, job_of(run)) for run in PLAN]
        together = [without_times(future.result()) for future in futures]
    assert together == alone


def test_a_gpu_gets_one_process_of_threads_and_a_cpu_several_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    monkeypatch.setattr(
        generators.workers.scheduler, "GpuProcess", lambda width, _: made.append(width)
    )
    local_pool(options_of(device="cuda:0", workers=3))
    assert made == [3]
    local_pool(options_of(device="cpu")).shutdown()
    assert made == [3]


def use_gpu_process(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Let the scheduler use a process of threads on the CPU."""
    monkeypatch.setattr(
        generators.workers.scheduler, "local_pool", lambda _: GpuProcess(width, nothing)
    )


def end_with_graphs(job: Job) -> Row:
    """Stand in for a training whose process dies if it uses CUDA graphs."""
    if job.graphs and job.run.draw_index == 0:
        os._exit(1)
    return toy_row(job.run) | {"status_reason": f"graphs {job.graphs}"}


def test_a_lost_process_is_replaced_and_its_runs_retried_without_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu_process(monkeypatch, 2)
    campaign = toy_campaign(tmp_path, PLAN)
    jobs = [job_of(run) for run in PLAN]
    assert (
        run_jobs(
            jobs, options_of(workers=2), campaign.store, campaign.note_failure, end_with_graphs
        )
        == 4
    )
    seen = {row["draw_index"]: row["status_reason"] for row in campaign.rows()}
    assert seen[0] == "graphs False"
    assert seen[3] == "graphs True"  # it was not running when the process died


def test_a_bound_holds_if_time_is_a_constant_plus_a_proportional_part() -> None:
    def taken(cost: int) -> float:
        return 2.0 + cost / 100

    pace = Pace()
    assert pace.bound(100) == 0.0
    for cost in (10, 50, 400, 900, 1000, 2000):
        pace.add(cost, taken(cost))
    for cost in (5, 10, 70, 500, 1999, 5000):
        assert pace.bound(cost) >= 1.3 * taken(cost)


def test_one_slow_small_run_does_not_raise_the_bound_of_large_ones() -> None:
    pace = Pace()
    pace.add(1, 3.0)  # nearly all of it is the constant part
    for cost in (800, 900, 1000, 1100, 1200):
        pace.add(cost, 6.0)
    assert pace.bound(1000) == pytest.approx(1.3 * 6 * 1000 / 800)


def test_predicted_memory_matches_a_calculation_by_hand() -> None:
    """`digits` has 8x8 pixels: 8 channels in stem, BN, ReLU and one block; then 4x4 and 2x2."""
    images, recipe = get_images("digits"), RECIPES["digits"]
    rows = walk(tiny_architecture(), images)
    activations = [row.out_channels * row.out_resolution**2 for row in rows]
    assert activations[:3] == [8 * 64] * 3
    pools = [8 * 16, rows[[r.kind for r in rows].index("max_pool", 8)].out_channels * 4]
    step = 50 * (4 * sum(activations) + 8 * sum(pools))
    assert [r.kind for r in rows].count("max_pool") == 2
    expected = 1.5 * 2 * (step + 2 * max(activations) * 4 * 350) + 300e6
    assert predicted_memory(rows, images, recipe) == pytest.approx(expected)


@pytest.mark.parametrize(("room", "width"), [(None, 3), (2.5, 2), (0.5, 1)])
def test_only_jobs_that_fit_the_device_run_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, room: float | None, width: int
) -> None:
    each = max(job_memory(job_of(run)) for run in PLAN)
    monkeypatch.setattr(generators.workers.scheduler, "device_room", lambda _: room and room * each)
    monkeypatch.setattr(generators.workers.scheduler, "predicted_memory", lambda *_: each)
    lock, now, most = threading.Lock(), [0], [0]

    def watched(job: Job) -> Row:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.3)
        with lock:
            now[0] -= 1
        return toy_row(job.run)

    monkeypatch.setattr(generators.workers.scheduler, "local_pool", lambda _: ThreadPoolExecutor(3))
    jobs = [job_of(run) for run in PLAN]
    assert run_jobs(jobs, options_of(workers=3), lambda _: None, lambda *_: None, watched) == 4
    assert most == [width]


def test_a_cpu_has_no_memory_limit_and_a_gpu_has_most_of_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert device_room("cpu") is None
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: type("", (), {"total_memory": 1000})
    )
    assert device_room("cuda:0") == 850
