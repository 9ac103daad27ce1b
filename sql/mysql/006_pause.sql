-- When the pause of a job ends: slots before are skipped, and recorded with the reason `paused`. A
-- daemon does without this column, and then no job can be paused by itself.

ALTER TABLE scheduler_jobs ADD COLUMN paused_until VARCHAR(40) NOT NULL DEFAULT ''
    COMMENT 'slots before this instant (RFC 3339) are skipped; empty = none';
