"""Counters of several workers add up, and go on after a worker is replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from postroad.db.pool import Database
from postroad.server.metrics import Scrape

SOURCES = Path(__file__).resolve().parents[2] / "src"
COUNT = """
import sys
from pathlib import Path
from postroad.db.pool import PoolUse
from postroad.server.metrics import WorkerMetrics, share_counters
share_counters(Path(sys.argv[1]), int(sys.argv[2]))
metrics = WorkerMetrics(int(sys.argv[2]))
for _ in range(int(sys.argv[3])):
    metrics.answered("GET", 200, 0.01)
metrics.answered("BREW", 418, 0.01)
metrics.task_died("listener")
metrics.note_state(PoolUse(3, 2, 10))
"""


def work(directory: Path, number: int, times: int) -> None:
    environment = {
        "PYTHONPATH": str(SOURCES),
        "PROMETHEUS_MULTIPROC_DIR": str(directory),
        "PATH": os.environ["PATH"],
    }
    subprocess.run(
        [sys.executable, "-c", COUNT, str(directory), str(number), str(times)], env=environment, check=True
    )


async def test_counters_of_all_workers_add_up_over_their_restarts(tmp_path: Path, database: Database) -> None:
    for number, times in ((0, 3), (1, 4), (0, 5)):
        work(tmp_path, number, times)

    async def gauges() -> dict[str, float]:
        return {"postroad_queue_recipients": 7}

    text = (await Scrape(tmp_path, database, [gauges]).text()).decode()
    assert 'postroad_http_requests_total{method="GET",status="2xx"} 12.0' in text
    assert 'postroad_http_requests_total{method="other",status="4xx"} 3.0' in text
    assert 'postroad_database_connections{state="open",worker="1"} 3.0' in text
    assert 'postroad_worker_memory_bytes{worker="0"}' in text
    assert 'postroad_task_deaths_total{task="listener"} 3.0' in text
    assert "postroad_database_up 1.0" in text
    assert "postroad_queue_recipients 7.0" in text


async def test_without_a_database_the_counters_are_told_all_the_same(tmp_path: Path) -> None:
    work(tmp_path, 0, 1)
    async with Database(f"postgresql://postroad@/postroad?host={tmp_path}") as nowhere:
        text = (await Scrape(tmp_path, nowhere).text()).decode()
    assert "postroad_database_up 0.0" in text
    assert 'postroad_http_requests_total{method="GET",status="2xx"} 1.0' in text
