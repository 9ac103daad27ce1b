//! Numbers and instants that options take, and what is said of what is none.

use crate::core::cron::Zone;
use crate::core::time::instant_in;
use std::ops::RangeInclusive;

/// A parser for whole numbers within these bounds.
pub fn number(
    bounds: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        let found = text.parse().ok().filter(|number| bounds.contains(number));
        found.ok_or_else(|| match (*bounds.start(), *bounds.end()) {
            (least, u32::MAX) => format!("it must be a whole number, {least} or more"),
            (least, most) => format!("it must be a whole number, {least} to {most}"),
        })
    }
}

/// The same of a port.
pub fn port(text: &str) -> Result<u16, String> {
    let found = number(0..=u16::MAX.into())(text)?;
    u16::try_from(found).map_err(|why| why.to_string())
}

/// An instant as it was written. A local time is of a zone that is not known yet.
pub fn instant(text: &str) -> Result<String, String> {
    instant_in(text, &Zone::UTC).map(|_| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_told_with_what_would_be_one() {
        let parse = number(1..=100);
        assert_eq!(parse("100"), Ok(100));
        for wrong in ["abc", "", "-1", "0", "101", "1.5", "99999999999"] {
            assert_eq!(parse(wrong), Err("it must be a whole number, 1 to 100".into()), "{wrong}");
        }
        assert_eq!(port("3401"), Ok(3401));
        assert_eq!(port("65536"), Err("it must be a whole number, 0 to 65535".into()));
        assert_eq!(number(0..=u32::MAX)("x"), Err("it must be a whole number, 0 or more".into()));
    }
}
