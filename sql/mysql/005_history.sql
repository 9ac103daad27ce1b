-- How runs of many years are found at once: a number that says how a run stands, and two indexes in
-- the order in which runs are shown. Between the column and the indexes `schedule db migrate` fills
-- the column of runs that have ended; 0 = not filled, the other columns tell. Everything works
-- without these, and slower.

ALTER TABLE scheduler_logs ADD COLUMN kind TINYINT UNSIGNED NOT NULL DEFAULT 0
    COMMENT '2 success, 3 failure, 4 signal, 5 spawn failed, 6 lost, 7 stopped, 8 unknown';

ALTER TABLE scheduler_logs ADD INDEX history_job
    (command_id, server_id, kind, start_time, uniq_id);

ALTER TABLE scheduler_logs ADD INDEX history_group (server_id, kind, start_time, uniq_id);
