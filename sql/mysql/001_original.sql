-- The tables of the original, for MySQL and MariaDB; loads under every sql_mode, MySQL 8's
-- defaults (NO_ZERO_DATE, STRICT_TRANS_TABLES) included. What differs from the original's own:
--   * times default to now, or to 1970-01-01 for "never", because a zero date is refused;
--   * command_md5 is not unique: nobody fills it by hand, and an empty one made the second row of
--     a group collide. It is kept for tools that write it; nothing here reads it.
--   * utf8mb4, so that every character fits.
-- Statements end with a semicolon at the end of a line. Each can be run again.

CREATE TABLE IF NOT EXISTS scheduler_jobs (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(50) NOT NULL DEFAULT '',
    command VARCHAR(1000) NOT NULL DEFAULT '',
    command_md5 VARCHAR(32) NOT NULL DEFAULT '',
    server_id INT NOT NULL DEFAULT 0,
    cron VARCHAR(200) NOT NULL DEFAULT '',
    output VARCHAR(1000) NOT NULL DEFAULT '',
    stderr VARCHAR(1000) NOT NULL DEFAULT '',
    max_concurrence INT NOT NULL DEFAULT 1,
    status TINYINT NOT NULL DEFAULT 0 COMMENT '1 = on',
    create_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_run_time DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00',
    tag_id INT NOT NULL DEFAULT 0,
    KEY server_command (server_id, command_md5)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS scheduler_vars (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(50) NOT NULL DEFAULT '',
    value VARCHAR(200) NOT NULL DEFAULT '',
    server_id INT NOT NULL DEFAULT 0 COMMENT 'the machine: key server of the configuration',
    create_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    UNIQUE KEY server_name (server_id, name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS scheduler_tags (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(50) NOT NULL DEFAULT '',
    create_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    update_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS scheduler_logs (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    command_id INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'scheduler_jobs.id',
    server_id INT UNSIGNED NOT NULL DEFAULT 0,
    command VARCHAR(200) NOT NULL DEFAULT '',
    create_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    running_time INT NOT NULL DEFAULT 0 COMMENT 'seconds',
    start_time DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00',
    end_time DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00',
    uniq_id VARCHAR(20) NOT NULL,
    pid INT NOT NULL DEFAULT 0,
    concurrent INT NOT NULL DEFAULT 0,
    UNIQUE KEY uniq_id (uniq_id),
    KEY command_id (command_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE IF NOT EXISTS scheduler_schema (
    version INT UNSIGNED NOT NULL PRIMARY KEY COMMENT 'number of an applied file of sql/',
    applied_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
