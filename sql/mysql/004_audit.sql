-- Who changed a job, and who had the daemon do what. A change of a job writes its row in the same
-- transaction. Everything works without this table.

CREATE TABLE IF NOT EXISTS scheduler_audit (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    server_id INT UNSIGNED NOT NULL DEFAULT 0,
    uniq_id VARCHAR(20) NOT NULL,
    at VARCHAR(40) NOT NULL DEFAULT '' COMMENT 'RFC 3339',
    who VARCHAR(100) NOT NULL DEFAULT '' COMMENT 'loopback; database = the table was changed by SQL',
    origin VARCHAR(100) NOT NULL DEFAULT '' COMMENT 'api, page, url, database; and the address',
    action VARCHAR(20) NOT NULL DEFAULT '' COMMENT 'create, edit, delete, enable, disable, start …',
    job_id INT UNSIGNED NOT NULL DEFAULT 0,
    run_id VARCHAR(20) NOT NULL DEFAULT '',
    version VARCHAR(16) NOT NULL DEFAULT '' COMMENT 'of the row afterwards; empty = it is gone',
    request_key CHAR(32) NOT NULL DEFAULT '' COMMENT 'MD5 of the Idempotency-Key',
    request_body CHAR(32) NOT NULL DEFAULT '' COMMENT 'MD5 of the body that came with it',
    what MEDIUMTEXT NOT NULL COMMENT 'JSON: column -> [old, new]',
    result VARCHAR(200) NOT NULL DEFAULT '' COMMENT 'done, or why not',
    UNIQUE KEY uniq_id (uniq_id),
    KEY server_job (server_id, job_id, id),
    KEY server_request (server_id, request_key)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
