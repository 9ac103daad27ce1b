//! In which language and colours a client wants its pages.

use super::super::parameters::one_of;
use super::super::texts::{Texts, texts};
use crate::core::cron::Lang;
use crate::core::http::{Request, Response};

/// Light, dark, or as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Theme {
    #[default]
    Auto,
    Light,
    Dark,
}

impl Theme {
    /// The value of `theme` in a query or cookie.
    pub(super) fn name(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    fn of(name: &str) -> Option<Theme> {
        [Theme::Auto, Theme::Light, Theme::Dark].into_iter().find(|theme| theme.name() == name)
    }
}

/// Language and colours. A link's choice goes first, then what the cookie remembers, then what the
/// browser says of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub lang: Lang,
    pub theme: Theme,
}

impl Look {
    /// What a request asks for.
    pub(super) fn of(request: &Request) -> Look {
        let cookies = request.header("cookie").unwrap_or("");
        let chosen = |name: &str| {
            let asked = request.query(name);
            asked.map(|text| text.into_owned()).or_else(|| cookie(cookies, name).map(str::to_owned))
        };
        let lang = chosen("lang").and_then(|name| lang_of(&name));
        let accepted = || accepted_lang(request.header("accept-language").unwrap_or(""));
        let theme = chosen("theme").and_then(|name| Theme::of(&name));
        Look { lang: lang.unwrap_or_else(accepted), theme: theme.unwrap_or_default() }
    }

    /// Refuses a choice that means nothing: it would be remembered for a year.
    pub(super) fn check(request: &Request) -> Result<(), Response> {
        let is_lang = request.query("lang").is_some_and(|name| lang_of(&name).is_some());
        if !is_lang {
            one_of(request, "lang", &["en", "zh"])?;
        }
        one_of(request, "theme", &[Theme::Auto, Theme::Light, Theme::Dark].map(Theme::name)[..])
    }

    /// The texts of the language.
    pub(super) fn texts(self) -> &'static Texts {
        texts(self.lang)
    }

    /// The value of `lang` in a query or cookie.
    pub(super) fn lang_name(self) -> &'static str {
        match self.lang {
            Lang::En => "en",
            Lang::Zh => "zh",
        }
    }
}

fn cookie<'a>(cookies: &'a str, name: &str) -> Option<&'a str> {
    let pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// From a language tag: `zh`, `zh-Hans-CN`, `en_US` in any case.
fn lang_of(tag: &str) -> Option<Lang> {
    match tag.trim().split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
        "en" => Some(Lang::En),
        "zh" => Some(Lang::Zh),
        _ => None,
    }
}

/// The language of ours with the highest weight (RFC 9110 §12.5.4); English if there is none.
fn accepted_lang(header: &str) -> Lang {
    let mut best = (0.0, Lang::En);
    for item in header.split(',') {
        let (tag, weight) = item.split_once(';').unwrap_or((item, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if let Some(lang) = lang_of(tag).filter(|_| weight > best.0) {
            best = (weight, lang);
        }
    }
    best.1
}
