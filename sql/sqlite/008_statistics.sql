-- What the runs of a job came to on a day, for SQLite: see sql/mysql/008_statistics.sql.

CREATE TABLE IF NOT EXISTS scheduler_statistics (
    server_id INTEGER NOT NULL DEFAULT 0,
    day TEXT NOT NULL,
    job_id INTEGER NOT NULL DEFAULT 0,
    changed INTEGER NOT NULL DEFAULT 0,
    runs INTEGER NOT NULL DEFAULT 0,
    ok INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    stopped INTEGER NOT NULL DEFAULT 0,
    took TEXT NOT NULL DEFAULT '',
    cpu TEXT NOT NULL DEFAULT '',
    memory TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (server_id, day, job_id),
    UNIQUE (server_id, job_id, day)
);
