-- When each periodic job was last begun, by whichever worker of whichever server: all of them keep one schedule.

CREATE TABLE job_run (
    job         text PRIMARY KEY,
    started_at  timestamptz NOT NULL
);
