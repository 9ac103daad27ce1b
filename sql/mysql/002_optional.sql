-- What was added to the original's tables: columns and a table that the daemon fills where they
-- exist and does without where they don't. One column a statement: MySQL commits each by itself,
-- so a migration that was cut goes on where it stopped (a column that is there is passed over).
-- Under MySQL 8 and MariaDB 10.3 or later no statement rewrites a table.

ALTER TABLE scheduler_jobs ADD COLUMN timezone VARCHAR(64) NOT NULL DEFAULT ''
    COMMENT 'IANA zone of the schedule; empty = the configured one';

ALTER TABLE scheduler_logs ADD COLUMN slot VARCHAR(40) NOT NULL DEFAULT ''
    COMMENT 'due instant, RFC 3339; empty = started by hand';

ALTER TABLE scheduler_logs ADD COLUMN cause VARCHAR(20) NOT NULL DEFAULT ''
    COMMENT 'due, manual, reboot, other';

ALTER TABLE scheduler_logs ADD COLUMN outcome VARCHAR(200) NOT NULL DEFAULT ''
    COMMENT 'running, exit 0, signal 9, spawn failed: why, lost';

ALTER TABLE scheduler_logs ADD COLUMN duration_ms BIGINT NOT NULL DEFAULT 0;

ALTER TABLE scheduler_logs ADD COLUMN user_ms BIGINT NOT NULL DEFAULT 0;

ALTER TABLE scheduler_logs ADD COLUMN system_ms BIGINT NOT NULL DEFAULT 0;

ALTER TABLE scheduler_logs ADD COLUMN max_rss_bytes BIGINT NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS scheduler_skips (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    server_id INT UNSIGNED NOT NULL DEFAULT 0,
    job_id INT UNSIGNED NOT NULL DEFAULT 0,
    reason VARCHAR(40) NOT NULL DEFAULT '' COMMENT 'overlap, draining, waiting, misfire, other',
    first_slot VARCHAR(40) NOT NULL DEFAULT '' COMMENT 'RFC 3339',
    last_slot VARCHAR(40) NOT NULL DEFAULT '' COMMENT 'RFC 3339',
    skipped BIGINT NOT NULL DEFAULT 0 COMMENT 'how many slots, first and last included',
    UNIQUE KEY server_job_slot (server_id, job_id, first_slot)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
