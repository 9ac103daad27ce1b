-- When the pause of a job ends, for SQLite: see sql/mysql/006_pause.sql.

ALTER TABLE scheduler_jobs ADD COLUMN paused_until TEXT NOT NULL DEFAULT '';
