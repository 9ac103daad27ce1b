-- What people want to know of a job, for SQLite: see sql/mysql/003_people.sql.

ALTER TABLE scheduler_jobs ADD COLUMN description TEXT NOT NULL DEFAULT '';

ALTER TABLE scheduler_jobs ADD COLUMN owner TEXT NOT NULL DEFAULT '';

ALTER TABLE scheduler_jobs ADD COLUMN link TEXT NOT NULL DEFAULT '';
