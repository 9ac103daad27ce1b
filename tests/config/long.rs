//! What takes no time however long a command is, and however many variables there are: measured
//! against the same of less, or against the plain way.

use schedule::core::config::did_you_mean;
use schedule::core::definition::{Vars, fill};
use std::time::{Duration, Instant};

/// The shortest of some times.
fn took(work: &dyn Fn()) -> Duration {
    let one = |_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    (0..5).map(one).min().unwrap()
}

/// So many braces open, and none closes, or one does at the end.
#[test]
fn a_command_of_nothing_but_braces() {
    let vars = Vars::from([("A".to_owned(), "a".to_owned())]);
    for end in ["", "}"] {
        let [short, long] = [4_000, 64_000].map(|count| {
            let command = "{".repeat(count) + end;
            took(&|| assert_eq!(fill(&command, &vars), command))
        });
        assert!(long < short * 80, "16 times as long took {long:?} instead of {short:?}");
    }
}

/// Each name is as long as the word, and few have its letters.
#[test]
fn a_word_beside_very_many_that_are_not_near() {
    let name = |at| format!("name_of_a_variable_{at:06}");
    let names: Vec<String> = (0..2_000).map(name).collect();
    let word = "qwertzuiopqwertzuiopqwert";
    let all = || names.iter().map(String::as_str);
    let here = took(&|| assert_eq!(did_you_mean(word, all()), None));
    let each = took(&|| assert!(all().all(|it| strsim::osa_distance(word, it) > 8)));
    assert!(here * 2 < each, "{here:?} and {each:?}");
}
