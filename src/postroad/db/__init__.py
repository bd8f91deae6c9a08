"""PostgreSQL: the embedded cluster, the pool, migrations, notifications."""
