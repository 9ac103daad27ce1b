-- The sample jobs of `schedule demo`: a dozen that show what it can do.
INSERT INTO scheduler_tags (id, name) VALUES (1, 'basics'), (2, 'cron'), (3, 'limits'), (4, 'trouble');
INSERT INTO scheduler_vars (id, name, value, server_id) VALUES (1, 'GREETING', 'hello from the demo', 1);
INSERT INTO scheduler_jobs (id, name, command, cron, max_concurrence, status, server_id, tag_id) VALUES
    (1, 'Every minute', 'date', '* * * * *', 1, 1, 1, 1),
    (2, 'Every ten seconds', 'echo tick; sleep 2; echo tock', '*/10 * * * * *', 1, 1, 1, 1),
    (3, 'A placeholder', 'echo {GREETING}, run $SCHEDULE_RUN_ID of job $SCHEDULE_JOB_ID', '*/15 * * * * *', 1, 1, 1, 1),
    (4, 'Weekdays at nine', 'echo good morning', '0 9 * * MON-FRI', 1, 1, 1, 2),
    (5, 'Last day of the month', 'echo closing the books', '30 23 L * *', 1, 1, 1, 2),
    (6, 'Every 45 seconds', 'uptime', '@every 45s', 1, 1, 1, 2),
    (7, 'Slower than its schedule', 'sleep 12', '*/5 * * * * *', 1, 1, 1, 3),
    (8, 'Up to three at a time', 'sleep 13', '*/5 * * * * *', 3, 1, 1, 3),
    (9, 'Never starts: its limit is 0', 'echo never', '* * * * *', 0, 1, 1, 3),
    (10, 'Fails', 'echo "something is wrong" >&2; exit 1', '*/20 * * * * *', 1, 1, 1, 4),
    (11, 'Is not there', '/no/such/program', '*/30 * * * * *', 1, 1, 1, 4),
    (12, 'Ends itself by a signal', 'kill -TERM $$', '*/30 * * * * *', 1, 1, 1, 4),
    (13, '中文任务:备份数据', 'echo 备份完成', '*/25 * * * * *', 1, 1, 1, 1),
    (14, 'Refused: a cron mistake', 'echo never', '61 * * * *', 1, 1, 1, 4);
