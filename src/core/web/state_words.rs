//! What states are called on a page, in English and in Chinese.

use crate::core::cron::Lang;
use crate::core::state_label::StateLabel;

/// A state as it is shown.
pub(super) fn state_text(lang: Lang, state: StateLabel) -> &'static str {
    let (en, zh) = match state {
        StateLabel::Invalid => ("invalid", "无效"),
        StateLabel::Fatal => ("fatal", "启动失败"),
        StateLabel::Exited => ("exited", "失败"),
        StateLabel::Unknown => ("unknown", "结果未知"),
        StateLabel::Backoff => ("backoff", "等待重试"),
        StateLabel::Stopping => ("stopping", "停止中"),
        StateLabel::Starting => ("starting", "启动中"),
        StateLabel::Waiting => ("waiting", "待生效"),
        StateLabel::Deleting => ("deleting", "收尾中"),
        StateLabel::Running => ("running", "运行中"),
        StateLabel::Off => ("off", "停用"),
        StateLabel::Paused => ("paused", "已暂停"),
        StateLabel::Disabled => ("disabled", "已禁用"),
        StateLabel::Never => ("never run", "从未运行"),
        StateLabel::Stopped => ("stopped", "空闲"),
    };
    match lang {
        Lang::En => en,
        Lang::Zh => zh,
    }
}
