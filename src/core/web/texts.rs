//! Every text of the pages, in English and in Chinese. A text that nothing uses is a compiler
//! warning (a field that is never read); one that is missing in a language does not compile. `{}`
//! is where a value goes: [`fill`].

use super::state_words::state_text;
use crate::core::columns::Column;
use crate::core::cron::Lang;
use crate::core::plain::isolated;
use crate::core::state_label::StateLabel;
use serde::Serialize;
use serde_json::json;

/// `name: "English", "中文";` makes a field and its two values.
macro_rules! texts {
    ($(#[$meta:meta])* $kind:ident, $en:ident, $zh:ident;
     $($name:ident: $english:literal, $chinese:literal;)+) => {
        $(#[$meta])*
        pub(in crate::core::web) struct $kind { $(pub(in crate::core::web) $name: &'static str,)+ }
        static $en: $kind = $kind { $($name: $english,)+ };
        static $zh: $kind = $kind { $($name: $chinese,)+ };
    };
}

mod acts;
mod statistics;
mod why;

pub(super) use acts::{ActTexts, acts};
pub(super) use statistics::{StatisticsTexts, of_statistics};
pub(super) use why::{WhyTexts, why};

texts! {
    /// Texts that the server writes into pages.
    Texts, EN, ZH;
    lang: "en", "zh-CN";
    skip: "Skip to the content", "跳到正文";
    jobs: "Jobs", "任务";
    log: "Log", "日志";
    audit: "Audit", "变更记录";
    server: "Server {}", "服务器 {}";
    main_nav: "Main", "主导航";
    display: "Language and colours", "语言与配色";
    theme_auto: "Colours as the system has them", "配色跟随系统";
    theme_light: "Light colours", "浅色";
    theme_dark: "Dark colours", "深色";
    daemon: "Daemon", "守护进程";
    database: "Database", "数据库";
    db_up: "up", "正常";
    db_down: "down", "故障";
    db_unknown: "not asked yet", "尚未查询";
    synced: "Synced", "同步于";
    never_synced: "never", "从未";
    live_runs: "Live runs", "运行中";
    worst_late: "Worst delay", "最大延迟";
    memory: "Memory", "内存";
    started: "Started", "启动于";
    pid: "Pid", "进程号";
    version: "Version", "版本";
    paused_all: "Maintenance: all jobs are paused. Slots are skipped, none is started later.",
        "维护中:所有任务已暂停。期间到期的时刻将被跳过,之后也不会补启动。";
    paused_tag: "The jobs with tag {} are paused.", "标签 {} 的任务已暂停。";
    paused_job: "It is paused: slots meanwhile are skipped, and none is started later.",
        "已暂停:期间到期的时刻将被跳过,之后也不会补启动。";
    paused_until: "Until {}", "直到 {}";
    paused_open: "Until somebody resumes it", "直到有人恢复";
    help_pause: "Slots before this instant are skipped: 2026-12-01T07:00:00+08:00",
        "该时刻之前到期的将被跳过,如:2026-12-01T07:00:00+08:00";
    draining: "The daemon is ending: it waits for its last runs and starts no more.",
        "守护进程正在退出:等待最后的运行结束,不再启动新的运行。";
    refused_one: "not permitted: process {} belongs to user '{}': ",
        "不允许:进程 {} 属于用户“{}”:";
    refused_part: "not permitted: 1 of its {} processes, {}, belongs to user '{}': ",
        "不允许:其 1 个(共 {} 个)进程({})属于用户“{}”:";
    refused_some: "not permitted: {} of its {} processes, {}, belong to user '{}': ",
        "不允许:其 {} 个(共 {} 个)进程({})属于用户“{}”:";
    refused_stop_it: "stop it as that user ({} as root)",
        "请以该用户身份停止(以 root 执行 {})";
    refused_stop_them: "stop them as that user ({} as root)",
        "请以该用户身份停止(以 root 执行 {})";
    refused_until: "after the grace time it is killed with its control group",
        "宽限时间过后将随其控制组一起被强制结束";
    refused_alert: "Runs that could not be stopped: {}", "未能停止的运行:{}";
    db_silent: "The database does not answer", "数据库无应答";
    db_refuses: "The database refuses what is needed", "数据库拒绝了所需的操作";
    db_fails: "Talking to the database failed", "与数据库的通信失败";
    db_alert: "{}; jobs go on as they were last read. {}", "{},任务按最近一次读取的内容继续运行。{}";
    db_alert_unread: "{}, and no jobs were read yet: nothing is started. {}",
        "{},且尚未读取任何任务:不会启动任何运行。{}";
    unread: "The jobs were not read yet.", "任务尚未读取。";
    unknown_parameter: "The address has a parameter `{}`, which means nothing; there are {}",
        "本页地址中的参数“{}”没有意义;可用的参数有 {}";
    no_such_page: "There is no page {} of this list: this is the last one, {}",
        "此列表没有第 {} 页:所示为最后一页,第 {} 页";
    disk_alert: "The journal can't be written as it should be: {}. Jobs go on; their outputs may \
                 be lost now, their records later.",
        "日志无法正常写入:{}。任务继续运行;其输出可能丢失,之后记录也可能丢失。";
    stale_alert: "The snapshot of the jobs in {} was not of the table that was in force last: \
                  nothing is started before the database has answered.",
        "{} 中的任务快照不是最后生效的任务表:数据库应答之前不会启动任何运行。";
    foreign_alert: "The snapshot of the jobs in {} is of {}, the configuration says {}: nothing is \
                    started before the database has answered.",
        "{} 中的任务快照属于 {},而配置为 {}:数据库应答之前不会启动任何运行。";
    missing_alert: "There is no snapshot in {} of the jobs that were in force last: nothing is \
                    started before the database has answered.",
        "{} 中没有最后生效的任务快照:数据库应答之前不会启动任何运行。";
    not_whole_alert: "{}/snapshot is not whole: nothing is started before the database has \
                      answered.",
        "{}/snapshot 不完整:数据库应答之前不会启动任何运行。";
    unreadable_alert: "The snapshot of the jobs can't be read: {}. Nothing is started before the \
                       database has answered.",
        "任务快照无法读取:{}。数据库应答之前不会启动任何运行。";
    unkept_alert: "The jobs in force could not be written to {}/snapshot: {}. After a restart \
                   nothing is started before the database has answered.",
        "当前生效的任务无法写入 {}/snapshot:{}。重启后,数据库应答之前不会启动任何运行。";
    twin_alert: "The PHP program runs this group, too, pid {}: its jobs run twice. End that one \
                 (its `sched stop`, or kill {}), or this one.",
        "PHP 版程序(pid {})也在运行本组,任务会运行两次。请结束该进程(其 `sched stop` 或 kill {})或本进程。";
    dropped_alert: "{} records of runs are missing in the database, the last ones lost {}: {}.",
        "数据库缺少 {} 条运行记录,最近一次丢失于 {}:{}。";
    loss_untold: "the log tells why", "原因见日志";
    loss_room: "the state disk was full, and so was the room for them in memory",
        "状态目录磁盘已满,内存中的余地也已用尽";
    loss_memory: "they were in the memory of a daemon that ended while the state disk took no more",
        "状态目录磁盘无法写入时守护进程退出,记录只在其内存中";
    loss_limit: "the database was away for so long that the journal reached its limit",
        "数据库中断太久,日志已达上限";
    loss_gone: "somebody took away or damaged files of the journal", "日志文件被移走或损坏";
    loss_aside: "what was set aside was taken away, can't be read, or was too much",
        "搁置的记录被移走、无法读取或过多";
    bad_rows: "Rows that can't be jobs: {}", "无法作为任务的行:{}";
    set_aside: "Records that are set aside, kept and tried again: {}. The last one: {}",
        "未写入数据库的记录(已保留,将重试):{}。最近一条:{}";
    set_elsewhere: "Records of another database than the configuration names, kept and not tried \
                    before it names theirs: {}. The last one: {}",
        "属于其他数据库(非配置所指)的记录(已保留,在配置指明其数据库之前不会写入):{}。最近一条:{}";
    row_id: "Row {}", "第 {} 号";
    search: "Search", "搜索";
    search_hint: "Name or command", "名称或命令";
    tag: "Tag", "标签";
    all: "All", "全部";
    apply: "Apply", "应用";
    reset: "Show all", "显示全部";
    per_page: "Per page", "每页";
    states: "State", "状态";
    name: "Name", "名称";
    schedule: "Schedule", "计划";
    next: "Next", "下次";
    last: "Last run", "上次运行";
    runs: "Runs", "运行数";
    overtime: "Overtime", "超限";
    overtime_hint: "How often it was due at its limit of live runs", "到期时已达并发上限的次数";
    command: "Command", "命令";
    actions: "Actions", "操作";
    sort_by: "Sort by {}", "按{}排序";
    select: "Select {}", "选择 {}";
    select_all: "Select all on this page", "选择本页全部";
    start: "Start", "启动";
    stop: "Stop", "停止";
    start_job: "Start {}", "启动 {}";
    stop_job: "Stop {}", "停止 {}";
    selection: "Selected jobs", "所选任务";
    sync: "Sync now", "立即同步";
    ask: "A link does not do this by itself: it may have been on a page of somebody else. If you \
        meant it, press the button.",
        "链接本身不会执行操作:它可能来自他人的页面。如确需执行,请按下按钮。";
    ask_not: "Cancel", "取消";
    none_found: "No job matches.", "没有符合条件的任务。";
    no_jobs: "There are no jobs yet: add rows with status = 1 and server_id = {} to \
        scheduler_jobs; they are read within seconds.",
        "还没有任务:向 scheduler_jobs 添加 status = 1、server_id = {} 的行,数秒内即会读取。";
    shown: "{} of {}", "{} / {}";
    pages: "Pages", "分页";
    previous: "Previous", "上一页";
    following: "Next", "下一页";
    not_due: "never due", "不会到期";
    pause: "Pause", "暂停";
    resume: "Resume", "恢复";
    pause_until: "Until this instant; empty: until somebody resumes it", "直到该时刻;留空则直到手动恢复";
    pause_note: "Why", "原因";
    pause_many: "Pause all jobs, or those with a tag", "暂停所有任务,或带有某标签的任务";
    is_paused: "paused, until somebody resumes it", "已暂停,等待手动恢复";
    is_disabled: "It is disabled: nothing is started before its row has status = 1",
        "已禁用:其行的 status 为 1 之前不会启动";
    block_schedule: "never due: its schedule is wrong", "永不到期:计划有误";
    block_over: "never due: its schedule has no slot left", "永不到期:计划已无后续时刻";
    block_timezone: "never due: its time zone is unknown", "永不到期:时区未知";
    block_pause: "never due: when its pause ends is no instant", "永不到期:暂停截止不是有效时刻";
    block_command: "never started: its command can't be run", "永不启动:命令无法运行";
    block_limit: "never started: limit 0", "永不启动:上限为 0";
    blocked_jobs: "Jobs that are not started until their rows are corrected: {}",
        "更正相应的行之前不会启动的任务:{}";
    blocked_job: "Job {}: {}", "任务 {}:{}";
    correct_row: "{}: {}. Correct its row; it is read within seconds.",
        "{}:{}。请更正该行,数秒内即会读取。";
    never: "never run", "从未运行";
    ran_then: "as its row says", "据任务行所载";
    at_limit: "At its limit of {} live runs", "已达并发上限 {}";
    limit_zero: "Its limit is 0: it never starts", "上限为 0:永不启动";
    is_draining: "Its row is gone; the job goes with its last run",
        "该行已删除,任务在最后一次运行结束后消失";
    is_waiting: "Its row was changed: the new definition waits for the runs of the old one",
        "该行已修改:新定义等待旧定义的运行结束";
    waits_for: "Its row was changed. The new definition waits for these runs of the old one: {}. \
                It says:",
        "该行已修改。新定义等待旧定义的以下运行结束:{}。其内容:";
    nothing_runs: "Nothing runs", "没有正在进行的运行";
    ms: "{} ms", "{} 毫秒";
    s: "{} s", "{} 秒";
    min: "{} min", "{} 分";
    h: "{} h", "{} 小时";
    d: "{} d", "{} 天";
    exit: "exit {}", "退出码 {}";
    signal: "signal {}", "信号 {}";
    by_hand: "stopped by hand, {}", "手动停止,{}";
    spawn_failed: "did not start: {}", "启动失败:{}";
    lost: "lost: {}", "失去踪迹:{}";
    left_behind: "{}, left behind: {}", "{},遗留进程:{}";
    is_running: "is running", "正在运行";
    definition: "Definition", "定义";
    raw_command: "As in the row", "行中原文";
    output: "Output", "标准输出";
    errors: "Errors", "标准错误";
    a_file_each: "a file for each run", "每次运行一个文件";
    zone: "Time zone", "时区";
    configured: "{} (configured)", "{}(配置)";
    limit: "Limit of live runs", "并发上限";
    key: "Key (md5)", "键(md5)";
    next_dues: "Next due", "接下来到期";
    history: "Last runs", "最近运行";
    statistics: "Statistics", "统计";
    run: "Run", "运行";
    cause: "Cause", "起因";
    cause_due: "due", "到期";
    cause_manual: "by hand", "手动";
    cause_reboot: "boot", "开机";
    of_later: "known to a later version only", "只有更新的版本才知道";
    slot: "Slot", "到期时刻";
    at: "Started", "开始";
    took: "Took", "用时";
    cpu: "CPU", "CPU";
    peak: "Peak memory", "内存峰值";
    outcome: "Outcome", "结果";
    no_runs: "It has not run yet.", "尚未运行。";
    skipped: "Slots that were skipped", "被跳过的到期时刻";
    reason: "Reason", "原因";
    count: "Count", "次数";
    from: "First", "最早";
    until: "Last", "最晚";
    skip_overlap: "at the limit of live runs", "已达并发上限";
    skip_draining: "the daemon was ending", "守护进程正在退出";
    skip_waiting: "the old definition was still running", "旧定义仍在运行";
    skip_paused: "paused: somebody wanted that", "已暂停(人工操作)";
    skip_misfire: "too late: the daemon was down or the clock jumped",
        "过期:守护进程未运行或时钟跳变";
    durations: "Durations", "用时";
    timeline: "Timeline", "时间线";
    durations_alt: "Durations of the last {} runs; the table has the figures",
        "最近 {} 次运行的用时,数字见表";
    timeline_alt: "When the last {} runs began and ended; the table has the figures",
        "最近 {} 次运行的起止时间,数字见表";
    tail: "Output", "输出";
    which: "Show", "显示";
    job_output: "the job's file: output", "任务的文件:标准输出";
    job_errors: "the job's file: errors", "任务的文件:标准错误";
    run_output: "run {}: output", "运行 {}:标准输出";
    run_errors: "run {}: errors", "运行 {}:标准错误";
    lines: "Lines", "行数";
    follow: "Follow", "跟随";
    download: "Download", "下载";
    clear_output: "Clear output", "清空输出";
    clear_errors: "Clear errors", "清空错误";
    clear_log: "Clear log", "清空日志";
    as_text: "Show as text", "以文本显示";
    level: "Level", "级别";
    level_error: "errors", "错误";
    level_warn: "warnings and errors", "警告及以上";
    level_info: "information and above", "信息及以上";
    level_debug: "everything", "全部";
    filter: "Lines with", "包含";
    all_jobs: "All jobs", "全部任务";
    new_job: "New job", "新建任务";
    edit: "Edit", "编辑";
    copy: "Copy", "复制";
    enable: "Enable", "启用";
    disable: "Disable", "禁用";
    delete: "Delete", "删除";
    edit_job: "Edit {}", "编辑 {}";
    delete_job: "Delete {}", "删除 {}";
    delete_hint: "Its row goes, and nothing is started for it any more. Runs that are alive ({}) \
                  end in peace, and what has run stays in the records.",
        "其行将被删除,不再为其启动任何运行。正在进行的运行({})会正常结束,运行记录保留。";
    save: "Save", "保存";
    preview: "Preview", "预览";
    would_change: "What changes", "改动";
    changes_nothing: "Nothing: the row says this already.", "无改动:该行已是如此。";
    is_now: "now", "现在";
    is_then: "then", "之后";
    coming_week: "The coming week", "未来一周";
    slots_go: "Slots that go: {}", "取消的到期时刻:{}";
    slots_come: "Slots that come: {}", "新增的到期时刻:{}";
    would_drain: "Runs that are alive, and end by the definition of before: {}",
        "将按旧定义结束的正在进行的运行:{}";
    run_as_this: "What is run", "实际执行";
    part_what: "What", "内容";
    part_when: "When", "时间";
    part_how: "How", "方式";
    part_people: "For people", "备注";
    help_command: "Given to sh -c. {NAME} is replaced by a variable.",
        "交给 sh -c 执行。{NAME} 由变量替换。";
    help_cron: "Minute, hour, day, month, weekday: 30 4 * * 1-5. Six fields begin with the \
                second. Or @daily, @every 5m, @reboot.",
        "分 时 日 月 星期:30 4 * * 1-5。六个字段时首个为秒。或 @daily、@every 5m、@reboot。";
    help_timezone: "Such as Europe/Berlin. Empty: the daemon's.", "例如 Europe/Berlin。留空:守护进程的时区。";
    help_output: "Appended to this file. Empty: a file for each run.", "追加到该文件。留空:每次运行一个文件。";
    help_limit: "So many runs at a time; what is due beyond that is skipped. 0: never.",
        "同时运行的上限,超出的到期时刻将被跳过。0:永不启动。";
    in_force: "In force", "生效";
    no_tag: "none", "无";
    not_saved: "Nothing was changed: {}", "未作任何更改:{}";
    correct_below: "see what is marked below", "见下方标记处";
    was_first: "Nothing was changed: somebody else was first ({}, at {}: {}). What they wrote is \
                below, with what you changed. Save again if you want it so.",
        "未作任何更改:已有人先行修改({},{}:{})。下方为其内容与您的修改,如仍需要请再次保存。";
    was_first_unknown: "Nothing was changed: somebody else was first. What the row says by now is \
                        below, with what you changed. Save again if you want it so.",
        "未作任何更改:已有人先行修改。下方为该行当前内容与您的修改,如仍需要请再次保存。";
    by_now: "By now: {}", "当前:{}";
    sent_before: "Nothing was changed: this form was sent already, with something else in it. \
                  Save again if you want one more job.",
        "未作任何更改:此表单已以其他内容提交过。如需再建一个任务,请再次保存。";
    in_doubt: "Nobody knows whether this was saved: {}. Look at the job before you save again.",
        "无法得知是否已保存:{}。再次保存之前请先查看该任务。";
    not_yet: "Saved, and not in force yet", "已保存,尚未生效";
    not_yet_why: "It is changed in the database, and in force once that answers again: {}",
        "更改已写入数据库,待其再次应答后生效:{}";
    no_field: "It has control characters, which no form can carry: change it over the API.",
        "含有表单无法传送的控制字符:请通过 API 更改。";
    not_there: "There is no such page", "没有这个页面";
    not_allowed: "That is not possible here", "此处不允许该操作";
    refused: "That was refused", "请求被拒绝";
    broken: "The daemon could not do that", "守护进程无法完成";
    bad_request: "Bad request", "请求无效";
}

texts! {
    /// Texts that `console.js` writes; it gets them as JSON.
    #[derive(Serialize)]
    ScriptTexts, SCRIPT_EN, SCRIPT_ZH;
    soon: "in {}", "{} 后";
    ago: "{} ago", "{} 前";
    now: "now", "现在";
    not_due: "never due", "不会到期";
    ms: "{} ms", "{} 毫秒";
    s: "{} s", "{} 秒";
    min: "{} min", "{} 分";
    h: "{} h", "{} 小时";
    d: "{} d", "{} 天";
    exit: "exit {}", "退出码 {}";
    signal: "signal {}", "信号 {}";
    by_hand: "stopped by hand, {}", "手动停止,{}";
    live: "Live", "实时";
    again: "Connection lost, as of {}; trying again in {} s", "连接中断,数据截至 {};{} 秒后重试";
    displaced: "Others need this place; as of {}, trying again in {} s",
        "此位置已让给其他窗口;数据截至 {},{} 秒后重试";
    tail_displaced: "… others need this place: it goes on in 60 s.", "… 此位置已让给其他窗口:60 秒后继续。";
    take_up: "Go on now", "立即继续";
    older: "The daemon was upgraded. Reload this page", "守护进程已升级,点击重新加载本页";
    connecting: "Connecting; as of {}", "连接中;数据截至 {}";
    gone: "Not in force", "未生效";
    job_gone: "This job is gone: its row was deleted. What is shown is of {}",
        "该任务已不存在:其行已删除。所示内容截至 {}";
    list_gone: "This list is not there any more: {}. What is shown is of {}",
        "该列表已不存在:{}。所示内容截至 {}";
    not_live: "Not live", "非实时";
    row_gone: "Not in force any more: its row was deleted, disabled or moved out of this list",
        "不再生效:其行已删除、已停用或已不属于此列表";
    changed: "The list has changed. Show it", "列表已变化,点击刷新";
    page_changed: "There is news. Show it", "有新内容,点击显示";
    alert_over: "The problem is solved. Show it", "故障已解除,点击显示";
    show: "{} Show it", "{} 点击显示";
    started: "Started {}: run {}", "已启动 {}:运行 {}";
    told_stop: "Stopping {}, runs: {}", "正在停止 {},运行数:{}";
    refused: "Refused, {}: {}", "被拒绝,{}:{}";
    refused_plain: "Refused: {}", "被拒绝:{}";
    failed: "The daemon does not answer; what is shown is of {}", "守护进程无应答;所示内容截至 {}";
    missed: "What was asked for had no answer. Ask again", "所请求的内容未得到应答,点击重试";
    text_cut: "This did not come whole: it was cut on its way, or stood still",
        "未能完整读取:内容在途中被截断或停滞";
    between: "No answer of the daemon: something between answered, with status {}",
        "并非守护进程的应答:由中间环节(如代理)应答,状态 {}";
    late: "No answer within {} s", "{} 秒内无应答";
    cut: "No answer", "没有应答";
    unsure: "{}. Whether it was done is not known: look before you try again",
        "{}。不知是否已执行:再试之前请先查看";
    untried: "{}: {}. Others that were not tried: {}", "{}:{}。未尝试的其余任务:{}";
    before: "… {} before this", "… 此前还有 {}";
    lines_lost: "… {} left out", "… 略去 {}";
    file_removed: "… the file was removed at {}: it goes on when there is one again",
        "… 文件已于 {} 被删除:再次出现后继续";
    file_replaced: "… the file was replaced: this is the new one", "… 文件已被替换:以下为新文件";
    file_cleared: "… the file was cleared: this is what came after",
        "… 文件已被清空:以下为此后的内容";
    selected: "{} selected", "已选 {} 项";
    at_limit: "At its limit of {} live runs", "已达并发上限 {}";
    limit_zero: "Its limit is 0: it never starts", "上限为 0:永不启动";
    nothing_runs: "Nothing runs", "没有正在进行的运行";
    empty: "Nothing is there yet.", "尚无内容。";
    sure: "Clear it? What is in the file is lost.", "确定清空?文件中的内容将丢失。";
    cleared: "Cleared", "已清空";
    synced: "Asked the database", "已请求同步";
    db_up: "up", "正常";
    db_down: "down", "故障";
    db_unknown: "not asked yet", "尚未查询";
}

/// What columns are called that somebody may write, in English and in Chinese.
const COLUMN_LABELS: &[(Column, [&str; 2])] = &[
    (Column::Name, ["Name", "名称"]),
    (Column::Command, ["Command", "命令"]),
    (Column::Cron, ["Schedule", "计划"]),
    (Column::Output, ["Output", "标准输出"]),
    (Column::Stderr, ["Errors", "标准错误"]),
    (Column::MaxConcurrence, ["Limit of live runs", "并发上限"]),
    (Column::TagId, ["Tag", "标签"]),
    (Column::Timezone, ["Time zone", "时区"]),
    (Column::Description, ["Description", "说明"]),
    (Column::Owner, ["Owner", "负责人"]),
    (Column::Link, ["Link", "链接"]),
    (Column::PausedUntil, ["Paused until", "暂停至"]),
];

/// Those columns, in the order in which they are shown.
pub(super) fn written_columns() -> impl Iterator<Item = Column> {
    COLUMN_LABELS.iter().map(|(column, _)| *column)
}

/// What a column is called.
pub(super) fn column_label(lang: Lang, column: Column) -> &'static str {
    let found = COLUMN_LABELS.iter().find(|(known, _)| *known == column);
    let (en, zh) = found.map_or((column.name(), column.name()), |(_, [en, zh])| (en, zh));
    match lang {
        Lang::En => en,
        Lang::Zh => zh,
    }
}

/// The texts of a language.
pub(super) fn texts(lang: Lang) -> &'static Texts {
    match lang {
        Lang::En => &EN,
        Lang::Zh => &ZH,
    }
}

/// The texts of a language for the script, as JSON; those of states by their labels.
pub(super) fn script_texts(lang: Lang) -> String {
    let texts = match lang {
        Lang::En => &SCRIPT_EN,
        Lang::Zh => &SCRIPT_ZH,
    };
    let mut texts = json!(texts);
    for state in StateLabel::ALL {
        texts[state.label()] = state_text(lang, state).into();
    }
    texts.to_string()
}

/// Puts values in the places of a text, in their order, so that none turns the words around it. A
/// place without a value stays.
pub(super) fn fill(text: &str, values: &[&str]) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    for value in values {
        let Some((before, after)) = rest.split_once("{}") else { break };
        out.push_str(before);
        out.push_str(&isolated(value));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_that_is_written_has_its_name_in_both_languages() {
        let is_written = |column: &Column| !matches!(column, Column::Id | Column::ServerId);
        let all: Vec<Column> = Column::ALL.iter().copied().filter(is_written).collect();
        assert_eq!(written_columns().collect::<Vec<_>>(), all);
    }
}
