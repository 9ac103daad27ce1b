-- What was added to the original's tables, for SQLite: see sql/mysql/002_optional.sql.

ALTER TABLE scheduler_jobs ADD COLUMN timezone TEXT NOT NULL DEFAULT '';

ALTER TABLE scheduler_logs ADD COLUMN slot TEXT NOT NULL DEFAULT '';

ALTER TABLE scheduler_logs ADD COLUMN cause TEXT NOT NULL DEFAULT '';

ALTER TABLE scheduler_logs ADD COLUMN outcome TEXT NOT NULL DEFAULT '';

ALTER TABLE scheduler_logs ADD COLUMN duration_ms INTEGER NOT NULL DEFAULT 0;

ALTER TABLE scheduler_logs ADD COLUMN user_ms INTEGER NOT NULL DEFAULT 0;

ALTER TABLE scheduler_logs ADD COLUMN system_ms INTEGER NOT NULL DEFAULT 0;

ALTER TABLE scheduler_logs ADD COLUMN max_rss_bytes INTEGER NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS scheduler_skips (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    server_id INTEGER NOT NULL DEFAULT 0,
    job_id INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '', -- overlap, draining, waiting, misfire, other
    first_slot TEXT NOT NULL DEFAULT '', -- RFC 3339
    last_slot TEXT NOT NULL DEFAULT '', -- RFC 3339
    skipped INTEGER NOT NULL DEFAULT 0, -- how many slots, first and last included
    UNIQUE (server_id, job_id, first_slot)
);
