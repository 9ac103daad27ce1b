-- What is worth knowing of a run beside how it ended: which attempt at its slot it was, who started
-- it and who stopped it, what they said, and what a failed run wrote last. Everything works without
-- these columns.

ALTER TABLE scheduler_logs ADD COLUMN attempt INT UNSIGNED NOT NULL DEFAULT 1
    COMMENT 'at its slot; the first is 1';

ALTER TABLE scheduler_logs ADD COLUMN who VARCHAR(100) NOT NULL DEFAULT ''
    COMMENT 'who started it; empty = its schedule';

ALTER TABLE scheduler_logs ADD COLUMN stopped_by VARCHAR(100) NOT NULL DEFAULT ''
    COMMENT 'who told it to end';

ALTER TABLE scheduler_logs ADD COLUMN note VARCHAR(200) NOT NULL DEFAULT ''
    COMMENT 'what was said when it was started';

ALTER TABLE scheduler_logs ADD COLUMN parameters VARCHAR(1000) NOT NULL DEFAULT ''
    COMMENT 'what it was started with';

ALTER TABLE scheduler_logs ADD COLUMN last_line VARCHAR(200) NOT NULL DEFAULT ''
    COMMENT 'what a failed run wrote last';
