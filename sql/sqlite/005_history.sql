-- How runs of many years are found at once, for SQLite: see sql/mysql/005_history.sql.

ALTER TABLE scheduler_logs ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;

CREATE INDEX IF NOT EXISTS history_job
    ON scheduler_logs (command_id, server_id, kind, start_time, uniq_id);

CREATE INDEX IF NOT EXISTS history_group ON scheduler_logs (server_id, kind, start_time, uniq_id);
