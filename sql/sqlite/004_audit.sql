-- Who changed a job, and who had the daemon do what, for SQLite: see sql/mysql/004_audit.sql. The
-- id makes a key of each index, and so a part of the table.

CREATE TABLE IF NOT EXISTS scheduler_audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    server_id INTEGER NOT NULL DEFAULT 0,
    uniq_id TEXT NOT NULL UNIQUE,
    at TEXT NOT NULL DEFAULT '', -- RFC 3339
    who TEXT NOT NULL DEFAULT '', -- loopback; database = the table was changed by SQL
    origin TEXT NOT NULL DEFAULT '', -- api, page, url, database; and the address
    action TEXT NOT NULL DEFAULT '', -- create, edit, delete, enable, disable, start …
    job_id INTEGER NOT NULL DEFAULT 0,
    run_id TEXT NOT NULL DEFAULT '',
    version TEXT NOT NULL DEFAULT '', -- of the row afterwards; empty = it is gone
    request_key TEXT NOT NULL DEFAULT '', -- MD5 of the Idempotency-Key
    request_body TEXT NOT NULL DEFAULT '', -- MD5 of the body that came with it
    what TEXT NOT NULL DEFAULT '', -- JSON: column -> [old, new]
    result TEXT NOT NULL DEFAULT '', -- done, or why not
    UNIQUE (server_id, job_id, id),
    UNIQUE (server_id, request_key, id)
);
