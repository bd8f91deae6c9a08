#!/usr/bin/env python3
"""How fast is a file of contacts imported, beside PostgreSQL's own COPY of the same file into a bare table?

One million lines of section 4.9.3 (address, Chinese name, sex, birthday, phone, area, two variables). COPY
only parses; the import checks every line, finds repeats, and leaves three indexes behind. Goal: within four
times COPY, in less than 200 MB. `--quick` takes 50,000 lines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from postroad.campaigns.contacts.files.reading import Options
from postroad.campaigns.contacts.imports import Imports
from postroad.db.cluster import Cluster
from postroad.db.migrate import migrate
from postroad.db.pool import Database

GOAL_TIMES = 4.0
GOAL_MEBIBYTES = 200.0
COLUMNS = "address text, name text, sex text, birthday text, phone text, area text, var1 text, var2 text"


def write_file(path: Path, lines: int) -> None:
    """Write the file that both read, where PostgreSQL's own account gets to."""
    path.parent.chmod(0o755)
    with path.open("w", encoding="utf-8") as file:
        for number in range(lines):
            file.write(
                f"reader{number}@mail{number % 997}.example;林晓{number};F;1986-08-10;{13500000000 + number};"
                f"北京市海淀区;gold;{number % 17}\n"
            )


async def copy(dsn: str, path: Path) -> float:
    """Copy the file into a bare table; return the seconds."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"DROP TABLE IF EXISTS bare; CREATE TABLE bare ({COLUMNS})")
        begun = time.perf_counter()
        await connection.copy_to_table("bare", source=path, delimiter=";", format="csv", timeout=600)
        return time.perf_counter() - begun
    finally:
        await connection.close()


async def import_file(dsn: str, path: Path, lines: int) -> float:
    """Import the file into a new list; return the seconds."""
    async with Database(dsn, max_size=4) as database:
        customer = await database.fetchval(
            "INSERT INTO customer (username) VALUES (gen_random_uuid()::text) RETURNING id"
        )
        list_id = await database.fetchval(
            "INSERT INTO contact_list (customer_id, subject) VALUES ($1, 'all') RETURNING id", customer
        )
        imports = Imports(database)
        begun = time.perf_counter()
        job = await imports.import_file(customer, list_id, path, Options("rows"))
        seconds = time.perf_counter() - begun
        added = (await imports.get(customer, job)).added
    if added != lines:
        raise SystemExit(f"{added} of {lines} lines became contacts")
    return seconds


async def measure(lines: int, rounds: int) -> dict[str, float]:
    """Both in turn, the best of some rounds."""
    with tempfile.TemporaryDirectory(prefix="postroad-import-", dir="/var/tmp") as name:
        directory = Path(name)
        path = directory / "contacts.txt"
        await asyncio.to_thread(write_file, path, lines)
        cluster = Cluster(directory / "data")
        dsn = await asyncio.to_thread(cluster.ensure_running)
        try:
            await migrate(dsn)
            copies, imports = [], []
            for _ in range(rounds):
                copies.append(await copy(dsn, path))
                imports.append(await import_file(dsn, path, lines))
        finally:
            await asyncio.to_thread(cluster.leave)
    return {
        "lines": float(lines),
        "COPY seconds": min(copies),
        "import seconds": min(imports),
        "times COPY": min(imports) / min(copies),
        "peak memory MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="50,000 lines, once")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    figures = asyncio.run(measure(50_000, 1) if options.quick else measure(1_000_000, 3))
    for name, figure in figures.items():
        print(f"{name:20} {figure:12.2f}")
    if options.json:
        ratios = {
            "import to COPY, seconds": {"value": figures["times COPY"], "goal": GOAL_TIMES},
            "peak memory, MiB": {"value": figures["peak memory MiB"], "goal": GOAL_MEBIBYTES},
        }
        print(json.dumps({"name": "import", "ratios": ratios, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
