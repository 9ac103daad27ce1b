//! Texts of who did what.

use crate::core::cron::Lang;

texts! {
    /// What pages say of it.
    ActTexts, EN, ZH;
    how_it_came: "How it came to be what it is", "变更经过";
    all_of_it: "All of it", "全部记录";
    when: "When", "时间";
    who: "Who", "操作者";
    action: "Action", "操作";
    job: "Job", "任务";
    what: "What", "内容";
    result: "Result", "结果";
    done: "done", "完成";
    nobody: "Nothing is known to have been done.", "没有记录。";
    older: "Older", "更早";
    newest: "Newest", "最新";
    bring_back: "Bring back what was before", "恢复此前的内容";
    is_back: "This is what it was before {}, by {}, changed it. Nothing is changed until you save \
              it: have a look at the preview.",
        "下方为 {}({})更改之前的内容。保存之前不会更改任何内容:请先预览。";
    is_gone: "The job is gone: this makes a new one, with the definition that it had before {}, by \
              {}, changed it.",
        "该任务已不存在:此表单将按其在 {}({})更改之前的定义新建一个任务。";
    unsure: "There were changes that nobody has told of, so it may not be quite what it was.",
        "存在未记录的变更,因此可能与当时不完全一致。";
    was_not: "Before that the job was not there.", "在此之前该任务不存在。";
    no_such: "There is no such change of this job.", "该任务没有这项变更。";
    alone: "Only what the daemon remembers is here. {}", "此处仅有守护进程记得的内容。{}";
    create: "create", "新建";
    edit: "edit", "编辑";
    delete: "delete", "删除";
    enable: "enable", "启用";
    disable: "disable", "禁用";
    pause: "pause", "暂停";
    resume: "resume", "恢复";
    apply: "apply", "应用文件";
    start: "start", "启动";
    stop: "stop", "停止";
    clear: "clear", "清空";
    sync: "sync", "同步";
    create_variable: "create variable", "新建变量";
    edit_variable: "edit variable", "编辑变量";
    delete_variable: "delete variable", "删除变量";
    create_tag: "create tag", "新建标签";
    edit_tag: "edit tag", "编辑标签";
    delete_tag: "delete tag", "删除标签";
}

/// The texts of a language.
pub(in crate::core::web) fn acts(lang: Lang) -> &'static ActTexts {
    match lang {
        Lang::En => &EN,
        Lang::Zh => &ZH,
    }
}

impl ActTexts {
    /// What an action is called; one of a later version as it calls itself.
    pub(in crate::core::web) fn verb<'a>(&'a self, action: &'a str) -> &'a str {
        match action {
            "create" => self.create,
            "edit" => self.edit,
            "delete" => self.delete,
            "enable" => self.enable,
            "disable" => self.disable,
            "pause" => self.pause,
            "resume" => self.resume,
            "apply" => self.apply,
            "start" => self.start,
            "stop" => self.stop,
            "clear" => self.clear,
            "sync" => self.sync,
            "create_variable" => self.create_variable,
            "edit_variable" => self.edit_variable,
            "delete_variable" => self.delete_variable,
            "create_tag" => self.create_tag,
            "edit_tag" => self.edit_tag,
            "delete_tag" => self.delete_tag,
            other => other,
        }
    }
}
