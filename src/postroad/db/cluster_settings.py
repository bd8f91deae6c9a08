"""The embedded cluster's `postgresql.conf`, `pg_hba.conf` and `pg_ident.conf`, each setting with its reason.

Pure: text out. The files are ours and written anew at every start; an operator's own settings go into
`local.conf` beside them, which is read last.
"""

from __future__ import annotations

from postroad.db.sql_door import SqlDoor

MEBIBYTE = 1024 * 1024

ROLE = "postroad"


def postgresql_conf(
    memory_bytes: int, durable: bool = True, door: SqlDoor | None = None, has_tls: bool = False
) -> str:
    """The settings for a machine (or container) with `memory_bytes`; `durable=False` is for tests only.

    `has_tls` says that `server.crt` and `server.key` lie in the cluster and its programs can use them.
    """
    # A quarter of the memory is the manual's advice for a server of its own; ours shares the machine with the
    # workers, and the file cache does the rest.
    shared_buffers = min(max(memory_bytes // 8, 32 * MEBIBYTE), 512 * MEBIBYTE) // MEBIBYTE
    file_cache = max(memory_bytes // 2, 64 * MEBIBYTE) // MEBIBYTE
    lines = [
        "# Written by Postroad at every start. Put your own settings into local.conf beside this file.",
        _set(
            "listen_addresses",
            f"'{door.listen_addresses if door is not None else ''}'",
            "only the socket, unless oa.sql_listen opens TCP for the OA's role",
        ),
        _set("ssl", "on" if has_tls else "off", "for that role by TCP"),
        _set("unix_socket_permissions", "0700", "the directory is closed as well; two locks are better"),
        _set(
            "max_connections", "500", "13 a worker, 64 workers with smaller pools; an idle slot costs little"
        ),
        _set("superuser_reserved_connections", "3", "default; written down because max_connections is"),
        _set(
            "max_locks_per_transaction",
            "256",
            "a view an account: adding 10,000 accounts at once, or dumping 50,000, locks as many",
        ),
        _set("shared_buffers", f"{shared_buffers}MB", "an eighth of the memory, 32 MB to 512 MB"),
        _set("effective_cache_size", f"{file_cache}MB", "what the file cache may hold, for the planner"),
        _set("work_mem", "8MB", "list pages sort a few thousand rows; many connections share the memory"),
        _set(
            "maintenance_work_mem",
            "64MB",
            "index builds at restore; three autovacuum workers may each take it",
        ),
        _set("random_page_cost", "1.1", "solid state, or cached"),
        _set("jit", "off", "queries take milliseconds; compiling them would take longer"),
        _set(
            "max_parallel_workers_per_gather",
            "0",
            "same; also keeps /dev/shm (64 MB in containers) out of it",
        ),
        _set("fsync", "on" if durable else "off", "a 250 means committed, power cut included"),
        _set("synchronous_commit", "on" if durable else "off", "same"),
        _set("full_page_writes", "on" if durable else "off", "same: torn pages"),
        _set("wal_level", "minimal", "nobody replicates from the embedded cluster; bulk loads log less"),
        _set("max_wal_senders", "0", "needed for wal_level minimal"),
        _set("wal_buffers", "16MB", "group commits of mails fill more than the default 3 %"),
        _set(
            "max_wal_size",
            "1GB",
            "fewer full-page images than with less; replay after a crash stays in seconds",
        ),
        _set("min_wal_size", "128MB", "recycled segments for a burst without filling a small disk"),
        _set("checkpoint_timeout", "5min", "bounds the replay after a crash"),
        _set("autovacuum_naptime", "15s", "queue tables turn over in seconds; dead rows slow every claim"),
        _set("autovacuum_vacuum_scale_factor", "0.1", "same"),
        _set(
            "autovacuum_analyze_scale_factor", "0.05", "a mailbox that grows fast needs its plans to follow"
        ),
        _set("autovacuum_vacuum_cost_limit", "1000", "the default falls behind a queue at full speed"),
        _set("idle_in_transaction_session_timeout", "60s", "a stuck client must not hold back vacuum"),
        _set("client_connection_check_interval", "10s", "a dead worker's long query ends"),
        _set("tcp_keepalives_idle", "60", "for clients by TCP, should the operator open it"),
        _set("timezone", "'UTC'", "times are UTC in the house"),
        _set("log_timezone", "'UTC'", "same"),
        _set("datestyle", "'iso, ymd'", "whatever the locale"),
        _set("default_text_search_config", "'pg_catalog.simple'", "search documents are built by ourselves"),
        _set("password_encryption", "'scram-sha-256'", "roles for the customer's own SQL access"),
        _set("logging_collector", "on", "the starter may end before the cluster does"),
        _set("log_directory", "'log'", "inside the cluster"),
        _set("log_filename", "'postgresql-%a.log'", "seven files, each overwritten after a week: bounded"),
        _set("log_rotation_age", "1d", "same"),
        _set("log_rotation_size", "0", "same: truncation happens on rotation by time only"),
        _set("log_truncate_on_rotation", "on", "same"),
        _set("log_min_messages", "warning", "one line a problem"),
        _set("log_min_error_statement", "panic", "statements could carry what must not be logged"),
        _set("log_parameter_max_length_on_error", "0", "same"),
        _set("log_checkpoints", "off", "routine"),
        _set("log_line_prefix", "'%m [%p] %u '", "when, which process, who"),
        "include = 'local.conf'",
    ]
    return "\n".join(lines) + "\n"


def _set(name: str, value: str, reason: str) -> str:
    return f"{name} = {value}  # {reason}"


def pg_hba(database: str, door: SqlDoor, major: int) -> str:
    """Who may connect, for PostgreSQL `major`."""
    # `include` in pg_hba.conf exists since PostgreSQL 16.
    has_include = major >= 16
    advice = " Put your own lines into local_hba.conf beside this file." if has_include else ""
    return (
        f"# Written by Postroad at every start.{advice}\n"
        f"{door.mark}"
        "# The kernel says who stands at the other end of the socket; pg_ident.conf says who that is here.\n"
        f"local all {ROLE} peer map=postroad\n"
        f"{door.hba(database)}"
        f"{'include local_hba.conf' if has_include else ''}\n"
    )


def pg_ident(system_accounts: list[str]) -> str:
    """Which operating-system accounts may act as the house's role."""
    return "# Written by Postroad at every start.\n" + "".join(
        f'postroad "{account}" {ROLE}\n' for account in system_accounts
    )
