//! Configuration: comments, quotes, and passwords with any character.

use schedule::core::config::{Parsed, parse};
use schedule::core::database::Database;

fn read(value: &str) -> Parsed {
    let text = format!("[server_1]\n[db1]\ndbname = d\nuser = u\npassword = {value}\nhost = h\n");
    parse("x.ini", text.as_bytes(), &[])
}

#[track_caller]
fn password(value: &str) -> String {
    let parsed = read(value);
    let config = parsed.config.unwrap_or_else(|| panic!("{value}: {:?}", parsed.problems));
    let Database::Mysql(server) = config.database else { panic!("{:?}", config.database) };
    assert_eq!(server.host, "h", "the line after `{value}` was swallowed");
    server.password
}

#[test]
fn unquoted_values() {
    for (written, value) in [
        ("plain", "plain"),
        ("a;b", "a;b"),
        ("a ;b", "a"),
        ("a\t; b ; c", "a"),
        ("a #b", "a #b"),
        ("a=b:c", "a=b:c"),
        ("a\\", "a\\"),
        ("\\n\\x0041", "\\n\\x0041"),
        ("50%\\", "50%\\"),
        ("a\"b'c", "a\"b'c"),
        ("[x]", "[x]"),
        ("密码 ；不", "密码 ；不"),
        ("", ""),
        ("  ; nothing", ""),
        ("$\u{7b}HOME\u{7d}", "${HOME}"),
    ] {
        assert_eq!(password(written), value, "written `{written}`");
    }
}

#[test]
fn quoted_values() {
    for (written, value) in [
        ("\"\"", ""),
        ("''", ""),
        ("\"a ; b\"", "a ; b"),
        ("'a ; b' ; comment", "a ; b"),
        ("\" a \"", " a "),
        ("'a\"b'", "a\"b"),
        ("\"a'b\"", "a'b"),
        ("\"a\"b\"", "a\"b"),
        ("\"a\";b\"", "a\";b"),
        ("'; # '\" \\ %'", "; # '\" \\ %"),
        ("'a\\'", "a\\"),
        ("\"a\\\"", "a\\"),
        ("'a\\\\b'", "a\\\\b"),
        ("'a' ; it's", "a"),
        ("\"\\t\"", "\\t"),
    ] {
        assert_eq!(password(written), value, "written `{written}`");
    }
}

/// Whatever a password is, one of the two kinds of quotes can write it.
#[test]
fn random_passwords_come_back() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let alphabet: Vec<char> = " ;#'\"\\%=:[]{}$nx0é密\t".chars().collect();
    for _ in 0..20_000 {
        let length = random(9);
        let password_: String =
            (0..length).map(|_| alphabet[random(alphabet.len() as u64) as usize]).collect();
        // The one text a kind of quotes can't hold: that quote, a blank and a semicolon.
        let holds = |quote: char| {
            password_.match_indices(quote).any(|(i, _)| {
                let tail = &password_[i + 1..];
                tail.starts_with([' ', '\t']) && tail.trim_start().starts_with(';')
            })
        };
        let quote = if holds('\'') { '"' } else { '\'' };
        if holds(quote) {
            continue;
        }
        assert_eq!(password(&format!("{quote}{password_}{quote}")), password_);
    }
}

#[test]
fn quotes_that_do_not_close() {
    for (written, expected) in [
        ("\"abc", "begins with \" and is not closed"),
        ("'abc", "begins with ' and is not closed"),
        ("\"abc\" def", "after the closing \" of `password` only a comment may follow"),
        ("'abc' # def", "after the closing ' of `password` only a comment may follow"),
        ("\"", "is not closed"),
    ] {
        let parsed = read(written);
        let texts: Vec<_> = parsed.problems.iter().map(|p| p.to_string()).collect();
        assert!(parsed.config.is_none(), "{written}");
        assert_eq!(texts.len(), 1, "{written}: {texts:?}");
        assert!(texts[0].starts_with("x.ini:5: error: "), "{texts:?}");
        assert!(texts[0].contains(expected), "{written}: {texts:?}");
        assert!(!texts[0].contains("abc"), "a password must not be shown: {texts:?}");
    }
}

#[test]
fn values_that_php_took_for_something_else() {
    for (written, value) in [("\"a\\\"b\"", "a\\\"b"), ("\"a\\\\b\"", "a\\\\b")] {
        assert_eq!(password(written), value, "{written}");
        let warned = read(written).problems.iter().any(|p| p.text.contains("backslash"));
        assert!(warned, "{written}");
    }
    let glued = parse("x.ini", b"[base]\nlogfile=;x\n[server_1]\n[db1]\n", &[]);
    assert!(glued.problems[0].to_string().starts_with("x.ini:2: warning: the `;`"));
    assert_eq!(glued.config.unwrap().base.log_path(1), Some(";x".into()));
}
