-- The original's tables, as it created them: zero dates, utf8, command_md5 unique in a group.
SET SESSION sql_mode = '';
CREATE TABLE scheduler_jobs (
    id int unsigned NOT NULL AUTO_INCREMENT, name varchar(50) NOT NULL DEFAULT '',
    command varchar(1000) NOT NULL DEFAULT '', command_md5 varchar(32) NOT NULL DEFAULT '',
    server_id int NOT NULL DEFAULT '0', cron varchar(200) NOT NULL DEFAULT '',
    output varchar(1000) NOT NULL DEFAULT '', stderr varchar(1000) NOT NULL DEFAULT '',
    max_concurrence int NOT NULL DEFAULT '1', status tinyint NOT NULL DEFAULT '0',
    create_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
    update_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
    last_run_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
    tag_id int NOT NULL DEFAULT '0',
    PRIMARY KEY (id), UNIQUE KEY server_id (server_id, command_md5)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE scheduler_vars (
    id int unsigned NOT NULL AUTO_INCREMENT, name varchar(50) NOT NULL DEFAULT '',
    value varchar(200) NOT NULL DEFAULT '', server_id int NOT NULL DEFAULT '0',
    create_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
    update_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
    PRIMARY KEY (id), UNIQUE KEY server_id (server_id, name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE scheduler_tags (
    id int unsigned NOT NULL AUTO_INCREMENT, name varchar(50) NOT NULL DEFAULT '',
    create_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
    update_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00', PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE scheduler_logs (
    id int unsigned NOT NULL AUTO_INCREMENT, command_id int unsigned NOT NULL DEFAULT '0',
    server_id int unsigned NOT NULL DEFAULT '0', command varchar(200) NOT NULL DEFAULT '',
    create_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
    running_time int NOT NULL DEFAULT '0',
    start_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
    end_time datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
    uniq_id varchar(20) NOT NULL DEFAULT '', pid int NOT NULL DEFAULT '0',
    concurrent int NOT NULL DEFAULT '0',
    PRIMARY KEY (id), UNIQUE KEY uniq_id (uniq_id), KEY command_id (command_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO scheduler_jobs (id, name, command, server_id, cron, status) VALUES
    (1, '清理日志', 'php {DIR}/清理.php', 1, '*/10 * * * *', 1),
    (2, 'other group', 'true', 2, '* * * * *', 1);
INSERT INTO scheduler_vars (name, value, server_id) VALUES ('DIR', '/数据', 7);
INSERT INTO scheduler_tags (name) VALUES ('报表');
INSERT INTO scheduler_logs (command_id, uniq_id) VALUES (1, 'old');
