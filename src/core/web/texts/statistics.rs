//! Texts of the page of statistics.

use crate::core::cron::Lang;

texts! {
    /// See the module's text.
    StatisticsTexts, EN, ZH;
    until_now: "Until now", "截至目前";
    by_day: "By day", "按日";
    window: "Time", "时段";
    day: "Day", "日期";
    since: "since {}", "自 {} 起";
    hours: "{} hours", "{} 小时";
    days: "{} days", "{} 天";
    ok: "Good", "成功";
    failed: "Failed", "失败";
    stopped: "Stopped", "被停止";
    skipped: "Skipped", "跳过";
    half: "half", "中位数";
    most: "95 %", "95 %";
    max: "most", "最大";
    off_by: "Runs that have ended, by when they began. Figures of so many: off by {} % at most.",
        "按开始时间统计已结束的运行。该比例的运行不超过此值,误差不超过 {} %。";
    not_counted: "Runs from before {} are not all counted yet.", "{} 之前的运行尚未全部统计。";
}

/// The texts of a language.
pub(in crate::core::web) fn of_statistics(lang: Lang) -> &'static StatisticsTexts {
    match lang {
        Lang::En => &EN,
        Lang::Zh => &ZH,
    }
}
