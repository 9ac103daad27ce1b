//! Texts of why a job ran, or did not.

use crate::core::cron::Lang;
use crate::core::why::Ran;

texts! {
    /// What is said of it.
    WhyTexts, EN, ZH;
    of_job: "Why (not)? {}", "为什么(没有)运行?{}";
    hint: "An instant, past or future: 2026-11-22 03:00, in the job's zone. Empty: its last slot, \
           or its last start if that was later.",
        "过去或将来的时刻:2026-11-22 03:00(任务的时区)。留空:最近的到期时刻或启动时刻。";
    at: "At", "时刻";
    ask: "Why?", "为什么?";
    then: "Definition then", "当时的定义";
    ran: "It ran: run {} began at {} and ended with {}.", "已运行:运行 {} 开始于 {},结果为 {}。";
    stopped_by: "{}, stopped by {}", "{},由 {} 停止";
    by_hand: "{}, stopped by hand", "{},手动停止";
    ran_unscheduled: "It ran, outside its schedule: run {} began at {} and ended with {}.",
        "已运行(计划之外):运行 {} 开始于 {},结果为 {}。";
    runs: "It runs: run {} began at {} and has not ended.", "正在运行:运行 {} 开始于 {},尚未结束。";
    overlap: "It was due, and skipped: as many runs as it may have were alive.",
        "到期但被跳过:已达并发上限。";
    draining: "It was due, and skipped: the daemon was ending.", "到期但被跳过:守护进程正在退出。";
    waiting: "It was due, and skipped: runs of its old definition were alive.",
        "到期但被跳过:旧定义的运行尚未结束。";
    misfire: "It was due, and skipped: it came too late, for the daemon was down, the machine \
              stood still, or the clock jumped.",
        "到期但被跳过:已过期(守护进程未运行、机器停顿或时钟跳变)。";
    paused: "It was due, and skipped: it was paused.", "到期但被跳过:已暂停。";
    is_paused: "By its schedule it would be due, and it is paused.", "按计划应到期,但已暂停。";
    paused_job: "It was paused by {} at {}, {}.", "该任务由 {} 于 {} 暂停,{}。";
    paused_all: "All jobs were paused by {} at {}, {}.", "所有任务由 {} 于 {} 暂停,{}。";
    paused_tag: "The jobs with its tag were paused by {} at {}, {}.",
        "带有其标签的任务由 {} 于 {} 暂停,{}。";
    paused_until: "until {}", "直到 {}";
    paused_open: "until somebody resumes it", "直到有人恢复";
    paused_why: "The reason: {}.", "原因:{}。";
    skipped: "It was due, and skipped: {}.", "到期但被跳过:{}。";
    was_disabled: "By its schedule it would have been due, and it was disabled.",
        "按计划应到期,但当时已禁用。";
    is_disabled: "By its schedule it would be due, and it is disabled.", "按计划应到期,但已禁用。";
    other: "It was not due: its schedule was {} then. By the one that it has now, {}, it would \
            have been due.",
        "未到期:当时的计划为 {}。按现在的计划 {} 则应到期。";
    not_there: "There was no such job then.", "当时没有该任务。";
    never: "It is never due: {}.", "永不到期:{}。";
    no_place: "It has no slots: its limit of live runs is 0.", "没有到期时刻:并发上限为 0。";
    no_schedule: "It has no slots: it is started at the boot of the machine alone.",
        "没有到期时刻:仅在开机时启动。";
    was_not_due: "It was not due then.", "当时未到期。";
    is_not_due: "It is not due then.", "届时不会到期。";
    will_run: "It will be due then, if nobody changes anything.", "如无更改,届时将到期。";
    undecided: "It was due a moment ago, and what came of it is not known yet.",
        "刚刚到期,结果尚不可知。";
    no_record: "It was due by its schedule, and no record tells what came of that.",
        "按计划已到期,但没有记录说明结果。";
    nothing_before: "Nothing of it from before then is known: perhaps no daemon had it yet.",
        "此前没有该任务的任何记录:当时可能还没有守护进程运行它。";
    unknown: "What its definition was then is not known: too much was changed since.",
        "当时的定义已不可知:此后变更过多。";
    changed_by: "See what {} did at {}: {}.", "参见 {} 于 {} 的操作:{}。";
    nearest: "The slots around that instant: {} and {}.", "前后的到期时刻:{} 与 {}。";
    none: "none", "无";
    unsure: "There were changes that nobody has told of, so it may have been otherwise.",
        "存在未记录的变更,因此实际情况可能不同。";
    since_good: "Its last good run was {}, at {}, and the first bad one after it {}, at {}.",
        "最近一次成功的运行为 {}({}),其后首次失败为 {}({})。";
    between: "Between the two: {}.", "两者之间:{}。";
    nothing_between: "Nothing is known to have been changed between the two.",
        "两者之间没有已知的变更。";
    restarted: "the daemon was restarted, reloaded or upgraded", "守护进程曾重启、重新加载或升级";
    did: "{} by {} at {}", "{}({},{})";
}

/// The texts of a language.
pub(in crate::core::web) fn why(lang: Lang) -> &'static WhyTexts {
    match lang {
        Lang::En => &EN,
        Lang::Zh => &ZH,
    }
}

impl WhyTexts {
    /// How a run ended, and by whom it was told to.
    pub(in crate::core::web) fn end(&self, run: &Ran) -> String {
        match run.stopped.as_deref() {
            None => run.outcome.clone(),
            Some("") => super::fill(self.by_hand, &[&run.outcome]),
            Some(by) => super::fill(self.stopped_by, &[&run.outcome, by]),
        }
    }

    /// Why slots were skipped.
    pub(in crate::core::web) fn reason(&self, reason: &str) -> String {
        let text = match reason {
            "overlap" => self.overlap,
            "draining" => self.draining,
            "waiting" => self.waiting,
            "misfire" => self.misfire,
            "paused" => self.paused,
            other => return super::fill(self.skipped, &[other]),
        };
        text.to_owned()
    }
}
