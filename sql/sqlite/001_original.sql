-- The tables of the original, for SQLite. The same columns as in sql/mysql/001_original.sql, whose
-- head tells what differs from the original's own. Times are text, YYYY-MM-DD HH:MM:SS.
-- Statements end with a semicolon at the end of a line. Each can be run again.

CREATE TABLE IF NOT EXISTS scheduler_jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL DEFAULT '',
    command TEXT NOT NULL DEFAULT '',
    command_md5 TEXT NOT NULL DEFAULT '',
    server_id INTEGER NOT NULL DEFAULT 0,
    cron TEXT NOT NULL DEFAULT '',
    output TEXT NOT NULL DEFAULT '',
    stderr TEXT NOT NULL DEFAULT '',
    max_concurrence INTEGER NOT NULL DEFAULT 1,
    status INTEGER NOT NULL DEFAULT 0, -- 1 = on
    create_time TEXT NOT NULL DEFAULT (datetime('now', 'localtime')),
    update_time TEXT NOT NULL DEFAULT (datetime('now', 'localtime')),
    last_run_time TEXT NOT NULL DEFAULT '1970-01-01 00:00:00',
    tag_id INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX IF NOT EXISTS scheduler_jobs_server ON scheduler_jobs (server_id);

CREATE TABLE IF NOT EXISTS scheduler_vars (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL DEFAULT '',
    value TEXT NOT NULL DEFAULT '',
    server_id INTEGER NOT NULL DEFAULT 0, -- the machine: key server of the configuration
    create_time TEXT NOT NULL DEFAULT (datetime('now', 'localtime')),
    update_time TEXT NOT NULL DEFAULT (datetime('now', 'localtime')),
    UNIQUE (server_id, name)
);

CREATE TABLE IF NOT EXISTS scheduler_tags (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL DEFAULT '',
    create_time TEXT NOT NULL DEFAULT (datetime('now', 'localtime')),
    update_time TEXT NOT NULL DEFAULT (datetime('now', 'localtime'))
);

CREATE TABLE IF NOT EXISTS scheduler_logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    command_id INTEGER NOT NULL DEFAULT 0, -- scheduler_jobs.id
    server_id INTEGER NOT NULL DEFAULT 0,
    command TEXT NOT NULL DEFAULT '',
    create_time TEXT NOT NULL DEFAULT (datetime('now', 'localtime')),
    running_time INTEGER NOT NULL DEFAULT 0, -- seconds
    start_time TEXT NOT NULL DEFAULT '1970-01-01 00:00:00',
    end_time TEXT NOT NULL DEFAULT '1970-01-01 00:00:00',
    uniq_id TEXT NOT NULL UNIQUE,
    pid INTEGER NOT NULL DEFAULT 0,
    concurrent INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX IF NOT EXISTS scheduler_logs_command ON scheduler_logs (command_id);

CREATE TABLE IF NOT EXISTS scheduler_schema (
    version INTEGER PRIMARY KEY, -- number of an applied file of sql/
    applied_at TEXT NOT NULL DEFAULT (datetime('now', 'localtime'))
);
