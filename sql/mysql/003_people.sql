-- What people want to know of a job: what it is for, who answers for it, where to read more. The
-- daemon shows these columns where they exist; what is run does not depend on them.

ALTER TABLE scheduler_jobs ADD COLUMN description VARCHAR(1000) NOT NULL DEFAULT ''
    COMMENT 'what it is for';

ALTER TABLE scheduler_jobs ADD COLUMN owner VARCHAR(100) NOT NULL DEFAULT ''
    COMMENT 'who answers for it';

ALTER TABLE scheduler_jobs ADD COLUMN link VARCHAR(1000) NOT NULL DEFAULT ''
    COMMENT 'where to read more: http:// or https://';
