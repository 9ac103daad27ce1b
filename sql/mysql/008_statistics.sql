-- What the runs of a job came to on a day, so that statistics cost nothing however many runs there
-- are, and outlive those that are deleted. The row of job 0 stands for the day of the group:
-- `changed` is counted up with each batch of records of that day, and down when the day was
-- counted, so a day whose `changed` is not 0 is counted once more. Everything works without this
-- table, and slower.
-- took, cpu, memory: the sum, the greatest, and BIN=RUNS for each bin of a histogram. Bin 0 has
-- what is zero, bin N what is 1.1^(N-1) or more and less than 1.1^N.

CREATE TABLE IF NOT EXISTS scheduler_statistics (
    server_id INT UNSIGNED NOT NULL DEFAULT 0,
    day CHAR(10) NOT NULL COMMENT 'YYYY-MM-DD: when the runs were started',
    job_id INT UNSIGNED NOT NULL DEFAULT 0 COMMENT '0 = all of the group',
    changed INT UNSIGNED NOT NULL DEFAULT 0,
    runs BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'that have ended',
    ok BIGINT UNSIGNED NOT NULL DEFAULT 0,
    failed BIGINT UNSIGNED NOT NULL DEFAULT 0,
    stopped BIGINT UNSIGNED NOT NULL DEFAULT 0,
    took VARCHAR(4000) NOT NULL DEFAULT '' COMMENT 'milliseconds',
    cpu VARCHAR(4000) NOT NULL DEFAULT '' COMMENT 'milliseconds',
    memory VARCHAR(4000) NOT NULL DEFAULT '' COMMENT 'bytes',
    PRIMARY KEY (server_id, day, job_id),
    UNIQUE KEY by_job (server_id, job_id, day)
) ENGINE = InnoDB DEFAULT CHARSET = ascii;
