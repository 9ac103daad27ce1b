//! The message line: what was done last over the web, as the original's page says it and in words.

use crate::core::cron::Lang;
use crate::core::limits::cut;
use crate::core::plain::line;
use serde_json::Value;

/// Characters of the message line.
const MAX_CHARS: usize = 400;

/// Characters of a reason in words: all of it is in the answer to who has asked.
const MAX_WHY_CHARS: usize = 160;

/// What stands before a reason, and is said by the words around it.
const NOTHING_CHANGED: &str = "nothing was changed: ";

/// What became of a part of a command.
#[derive(Debug)]
pub(super) struct Done {
    /// As the message line names it: a job, a run, nothing.
    pub what: String,
    pub result: Result<Value, (u16, String)>,
}

/// See the module's text. Empty before anything was done.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// `start 7 at 2026-11-22 13:42:07 result:1`, with a reason for each part that failed.
    original: String,
    en: String,
    zh: String,
}

impl Message {
    /// One that is the same in each language.
    pub(super) fn plain(text: String) -> Message {
        Message { en: text.clone(), zh: text.clone(), original: text }
    }

    /// That of what became of a command.
    pub(super) fn of(verb: &str, done: &[Done], time: &str) -> Message {
        Message {
            original: original(verb, done, time),
            en: in_words(Lang::En, verb, done, time),
            zh: in_words(Lang::Zh, verb, done, time),
        }
    }

    /// As the original says it.
    pub(super) fn original(&self) -> &str {
        &self.original
    }

    /// For people.
    pub(super) fn in_words(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }

    /// Says it in a value, in each language.
    pub(super) fn tell(&self, value: &mut Value) {
        value["message"] = self.en.as_str().into();
        value["message_zh"] = self.zh.as_str().into();
    }

    /// Adds what is also to be known.
    pub(super) fn add(&mut self, told: &str) {
        for text in [&mut self.original, &mut self.en, &mut self.zh] {
            *text = cut(&format!("{text}; {}", line(told)), MAX_CHARS).into_owned();
        }
    }
}

/// What a verb ends with that is about a tag, or about all jobs.
pub(super) const MANY: &str = "_many";

fn original(verb: &str, done: &[Done], time: &str) -> String {
    let verb = verb.trim_end_matches(MANY);
    let good: Vec<&str> = good(done).collect();
    let mut parts = Vec::new();
    let named = |what: &str| if what.is_empty() { String::new() } else { format!(" {what}") };
    if !good.is_empty() {
        parts.push(format!("{verb}{} at {time} result:1", named(good.join(" ").trim())));
    }
    for (what, why) in failed(done) {
        parts.push(format!("{verb}{} at {time} result:0 ({})", named(what), line(why)));
    }
    if parts.is_empty() {
        parts.push(format!("{verb} at {time} result:0 (no job was named)"));
    }
    cut(&parts.join("; "), MAX_CHARS).into_owned()
}

/// What a command was carried out for.
fn good(done: &[Done]) -> impl Iterator<Item = &str> {
    done.iter().filter(|done| done.result.is_ok()).map(|done| done.what.as_str())
}

/// What it was not carried out for, and why.
fn failed(done: &[Done]) -> impl Iterator<Item = (&str, &str)> {
    done.iter().filter_map(|done| {
        let (_, why) = done.result.as_ref().err()?;
        Some((done.what.as_str(), why.as_str()))
    })
}

fn in_words(lang: Lang, verb: &str, done: &[Done], time: &str) -> String {
    let good: Vec<&str> = good(done).collect();
    let mut parts = Vec::new();
    if !good.is_empty() {
        let what = subject(lang, verb, &good);
        let done = words(lang, verb, good.len(), true);
        parts.push(match lang {
            Lang::En => format!("{what} {done} at {time}"),
            Lang::Zh => format!("{what}{done}({time})"),
        });
    }
    for (what, why) in failed(done) {
        let what = subject(lang, verb, &[what]);
        let done = words(lang, verb, 1, false);
        let why = line(why.strip_prefix(NOTHING_CHANGED).unwrap_or(why));
        let why = cut(&why, MAX_WHY_CHARS);
        parts.push(match lang {
            Lang::En => format!("{what} {done} at {time}: {why}"),
            Lang::Zh => format!("{what}{done}({time}):{why}"),
        });
    }
    if parts.is_empty() {
        parts.push(match lang {
            Lang::En => format!("Nothing was done at {time}: no job was named"),
            Lang::Zh => format!("未执行任何操作({time}):未指定任务"),
        });
    }
    cut(&parts.join("; "), MAX_CHARS).into_owned()
}

/// Of what something is said: jobs, a run, a variable, or what the verb is always about.
fn subject(lang: Lang, verb: &str, whats: &[&str]) -> String {
    let ids: Vec<&str> = whats.iter().copied().filter(|what| !what.is_empty()).collect();
    let is_run = ids.iter().any(|id| id.contains('-'));
    let many = ids.len() > 1;
    let (one, all, zh) = match verb {
        "flush" => ("The table of jobs", "", "任务表"),
        "clear" => ("The file", "", "文件"),
        "apply" => ("The file of the group", "", "本组的文件"),
        verb if verb.ends_with(MANY) => ("The pause of", "", "暂停"),
        verb if verb.ends_with("_variable") => ("Variable", "Variables", "变量"),
        verb if verb.ends_with("_tag") => ("Tag", "Tags", "标签"),
        _ if is_run => ("Run", "Runs", "运行"),
        _ => ("Job", "Jobs", "任务"),
    };
    match (lang, ids.join(", ")) {
        (Lang::En, ids) if ids.is_empty() && all.is_empty() => one.to_owned(),
        (Lang::En, ids) if ids.is_empty() => format!("A {}", one.to_lowercase()),
        (Lang::En, ids) => format!("{} {ids}", if many { all } else { one }),
        (Lang::Zh, ids) if ids.is_empty() => zh.to_owned(),
        (Lang::Zh, ids) if verb.ends_with(MANY) => match ids.strip_prefix("tag ") {
            Some(id) => format!("标签 {id} 的{zh}"),
            None => format!("所有任务的{zh}"),
        },
        (Lang::Zh, ids) => format!("{zh} {ids} "),
    }
}

/// What became of so many of them.
fn words(lang: Lang, verb: &str, count: usize, is_done: bool) -> String {
    let plain = verb.trim_end_matches("_variable").trim_end_matches("_tag");
    let (en, zh) = match plain {
        "start" => ("started", "启动"),
        "stop" => ("told to end", "通知停止"),
        "flush" => ("read", "读取"),
        "clear" => ("cleared", "清空"),
        "create" => ("made", "新建"),
        "edit" => ("changed", "更改"),
        "delete" => ("deleted", "删除"),
        "enable" => ("enabled", "启用"),
        "disable" => ("disabled", "禁用"),
        "apply" => ("applied", "应用"),
        "pause" => ("paused", "暂停"),
        "resume" => ("resumed", "恢复"),
        "pause_many" => ("begun", "开始"),
        "resume_many" => ("ended", "结束"),
        // What a later verb is called says enough.
        other => (other, other),
    };
    match (lang, is_done, count) {
        (Lang::Zh, true, _) => format!("已{zh}"),
        (Lang::Zh, false, _) => format!("未{zh}"),
        (Lang::En, true, 0 | 1) => format!("was {en}"),
        (Lang::En, true, _) => format!("were {en}"),
        (Lang::En, false, _) => format!("was not {en}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(what: &str, why: Option<&str>) -> Done {
        let result = why.map_or(Ok(Value::Null), |why| Err((422, why.to_owned())));
        Done { what: what.into(), result }
    }

    #[test]
    fn it_is_said_in_words_of_both_languages() {
        let said = |verb, done: &[Done]| {
            let message = Message::of(verb, done, "T");
            [Lang::En, Lang::Zh].map(|lang| message.in_words(lang).to_owned())
        };
        let bad = |why| done("7", Some(why));
        for (verb, done, en, zh) in [
            ("start", &[done("7", None)][..], "Job 7 was started at T", "任务 7 已启动(T)"),
            ("pause", &[done("7", None)], "Job 7 was paused at T", "任务 7 已暂停(T)"),
            (
                "resume_many",
                &[done("all jobs", None)],
                "The pause of all jobs was ended at T",
                "所有任务的暂停已结束(T)",
            ),
            (
                "pause_many",
                &[done("tag 3", None)],
                "The pause of tag 3 was begun at T",
                "标签 3 的暂停已开始(T)",
            ),
            (
                "start",
                &[done("1", None), bad("it is disabled"), done("3", None)],
                "Jobs 1, 3 were started at T; Job 7 was not started at T: it is disabled",
                "任务 1, 3 已启动(T); 任务 7 未启动(T):it is disabled",
            ),
            (
                "edit",
                &[bad("nothing was changed: cron: \"x\"")],
                "Job 7 was not changed at T: cron: \"x\"",
                "任务 7 未更改(T):cron: \"x\"",
            ),
            (
                "stop",
                &[done("1-a", None)],
                "Run 1-a was told to end at T",
                "运行 1-a 已通知停止(T)",
            ),
            ("create", &[done("", Some("no"))], "A job was not made at T: no", "任务未新建(T):no"),
            ("delete_tag", &[done("3", None)], "Tag 3 was deleted at T", "标签 3 已删除(T)"),
            ("flush", &[done("", None)], "The table of jobs was read at T", "任务表已读取(T)"),
            (
                "start",
                &[],
                "Nothing was done at T: no job was named",
                "未执行任何操作(T):未指定任务",
            ),
        ] {
            assert_eq!(said(verb, done), [en, zh]);
        }
        let [en, _] = said("edit", &[bad(&"x".repeat(1_000))]);
        assert_eq!(en.chars().count(), "Job 7 was not changed at T: ".len() + MAX_WHY_CHARS + 1);
    }

    #[test]
    fn it_stays_short() {
        let mut message = Message::of("edit", &[done("7", None)], "T");
        message.add(&"long\n".repeat(1_000));
        let lengths = [message.original(), message.in_words(Lang::Zh)];
        assert!(lengths.iter().all(|text| text.chars().count() <= MAX_CHARS + 1), "{lengths:?}");
    }
}
