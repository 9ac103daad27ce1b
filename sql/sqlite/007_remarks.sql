-- What is worth knowing of a run beside how it ended, for SQLite: see sql/mysql/007_remarks.sql.

ALTER TABLE scheduler_logs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;

ALTER TABLE scheduler_logs ADD COLUMN who TEXT NOT NULL DEFAULT '';

ALTER TABLE scheduler_logs ADD COLUMN stopped_by TEXT NOT NULL DEFAULT '';

ALTER TABLE scheduler_logs ADD COLUMN note TEXT NOT NULL DEFAULT '';

ALTER TABLE scheduler_logs ADD COLUMN parameters TEXT NOT NULL DEFAULT '';

ALTER TABLE scheduler_logs ADD COLUMN last_line TEXT NOT NULL DEFAULT '';
