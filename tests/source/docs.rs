//! The documents: their links lead somewhere, also in the package, and what they show is right.

use schedule::core::columns::Column;
use schedule::core::config;
use schedule::core::cron::Dialect;
use schedule::core::journal::{Cause, SkipReason};
use schedule::core::outcome::OutcomeKind;
use schedule::core::state_label::StateLabel;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::tidy::walk;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// Each page, relative to the root.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let docs = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    docs.chain(["README.md".to_owned()]).collect()
}

/// Targets of the links of a page that are files here.
fn links(text: &str) -> Vec<String> {
    let markdown = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let html = text.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let files = markdown.chain(html).filter(|link| !link.contains("://"));
    let bare = files.filter_map(|link| link.split('#').next());
    bare.filter(|link| !link.is_empty()).map(str::to_owned).collect()
}

/// What a link of a page leads to, without `..`.
fn target(page: &str, link: &str) -> String {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path.to_str().unwrap().to_owned()
}

#[test]
fn links_lead_somewhere() {
    for page in pages() {
        for link in links(&read(&page)) {
            let to = target(&page, &link);
            assert!(Path::new(ROOT).join(&to).exists(), "{page}: {link}: there is no {to}");
        }
    }
}

/// Directories of the source that the package has below its documents, and where.
fn packaged() -> BTreeMap<String, String> {
    let manifest = read("Cargo.toml");
    let assets = manifest.lines().filter_map(|line| line.trim().strip_prefix("[\""));
    let pairs = assets.filter_map(|line| {
        let mut fields = line.split('"');
        let (from, to) = (fields.next()?, fields.nth(1)?);
        Some((from.to_owned(), to.strip_prefix("usr/share/doc/schedule/")?.to_owned()))
    });
    pairs.collect()
}

#[test]
fn links_lead_somewhere_in_the_package_too() {
    let packaged = packaged();
    let is_there = |path: &str| {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        let within =
            |name: &str| if dir.is_empty() { name.into() } else { format!("{dir}/{name}") };
        let forms = [path.to_owned(), within("*"), within(&format!("*.{suffix}"))];
        let to = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        forms.iter().any(|form| packaged.get(form) == Some(&to))
    };
    for page in pages() {
        assert!(is_there(&page), "{page} is not in the package");
        for link in links(&read(&page)) {
            let to = target(&page, &link);
            assert!(is_there(&to), "{page}: {link}: the package has no {to}");
        }
    }
}

/// The blocks of a page in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let parts = text.split(&begin).skip(1);
    parts.map(|part| part.split("```").next().unwrap().to_owned()).collect()
}

/// Both forms of the configuration that the migration begins with are read without a word.
#[test]
fn the_configurations_to_start_from_are_right() {
    let local = ["127.0.0.1".parse().unwrap()];
    let inis = blocks(&read("docs/migration.md"), "ini");
    assert_eq!(inis.len(), 2);
    let configs = inis.iter().map(|text| {
        let parsed = config::parse("migration.md", text.as_bytes(), &local);
        assert_eq!(parsed.problems, []);
        parsed.config.unwrap()
    });
    let configs: Vec<_> = configs.collect();
    assert_eq!(configs[0], configs[1], "they say the same");
    assert_eq!(configs[0].base.zone_name(), "Asia/Shanghai");
    assert_eq!(configs[0].base.cron_dialect, Dialect::Original);
    for text in blocks(&read("docs/configuration.md"), "ini").iter().take(1) {
        assert_eq!(config::parse("configuration.md", text.as_bytes(), &local).problems, []);
    }
}

/// Each bug that can be planted has its row, and each row its bug.
#[test]
fn planted_bugs_are_told() {
    let bugs = fs::read_dir(Path::new(ROOT).join("tests/simulation/bugs")).unwrap();
    let names = bugs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let patches = names.filter_map(|name| name.strip_suffix(".patch").map(str::to_owned));
    let mut names: Vec<String> = patches.collect();
    let number = |name: &String| name.split('-').next().and_then(|it| it.parse::<u32>().ok());
    names.sort_by_key(number);
    let page = read("tests/simulation/bugs/planted-bugs.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let told: Vec<String> = rows.skip(1).map(|row| row.replacen(' ', "-", 1)).collect();
    assert_eq!(
        names, told,
        "patches (left) and rows of tests/simulation/bugs/planted-bugs.md (right)"
    );
}

/// The address of a `curl` in a line that has parameters and no quotes around it: a `?` outside of
/// quotes is a pattern to some shells, a `&` ends a command.
fn unquoted(line: &str) -> Option<&str> {
    let words = line.split("curl ").skip(1).flat_map(str::split_whitespace);
    // The end of a command in a text, and what is quoted.
    let mut words =
        words.take_while(|word| *word != "#").map(|word| word.trim_end_matches(['`', ',']));
    words.find(|word| {
        word.contains('?') && word.contains('=') && !word.starts_with(['\'', '"', '`'])
    })
}

#[test]
fn addresses_with_parameters_are_quoted() {
    let mut found = Vec::new();
    for page in pages() {
        let text = read(&page);
        let bare = text.lines().zip(1..).filter_map(|(line, at)| Some((at, unquoted(line)?)));
        found.extend(bare.map(|(at, word)| format!("{page}:{at}: {word}")));
    }
    assert!(found.is_empty(), "put quotes around it:\n{}", found.join("\n"));
}

#[test]
fn sees_addresses_without_quotes() {
    for line in
        ["`curl HOST:PORT/?state=running`", "  curl -s http://x/y?a=1&b=2 | jq", "curl x/?a=b"]
    {
        assert!(unquoted(line).is_some(), "{line}");
    }
    for line in
        ["curl 'x/?a=b'", "curl -X POST \"x/?a=b\"", "curl localhost/  # also ?a=b", "/?a=b"]
    {
        assert_eq!(unquoted(line), None, "{line}");
    }
}

/// Crates that the program is made with, and those that the list of the map gives a reason for.
#[test]
fn each_crate_has_its_reason() {
    let manifest = read("Cargo.toml");
    let section = manifest.split("[dependencies]\n").nth(1).unwrap();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let crates: BTreeSet<&str> = lines.filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    let map = read("docs/ARCHITECTURE.md");
    let list = map.split("| crate | why |\n").nth(1).unwrap();
    let rows = list.lines().skip(1).map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
    let told: Vec<&str> = rows.flat_map(|cell| cell.split(", ")).collect();
    let told: BTreeSet<&str> = told.into_iter().collect();
    assert!(crates.len() > 20, "{crates:?}");
    assert_eq!(crates, told, "crates of Cargo.toml (left), those of docs/ARCHITECTURE.md (right)");
}

/// Words that readers of another first language stumble over, with the number of their line.
fn words_to_avoid(text: &str) -> Vec<(usize, &'static str)> {
    let lines = text.lines().zip(1..);
    let words: Vec<(String, usize)> = lines
        .flat_map(|(line, number)| {
            line.split_whitespace().map(move |word| (word.to_lowercase(), number))
        })
        .collect();
    let is = |word: &str, avoided: &str| {
        word.split(|c: char| !c.is_alphabetic()).any(|part| part == avoided)
    };
    let mut found = Vec::new();
    for (at, (word, number)) in words.iter().enumerate() {
        found.extend(
            ["anew", "whoever"].into_iter().filter(|it| is(word, it)).map(|it| (*number, it)),
        );
        let next = words.get(at + 1).map_or("", |(next, _)| next);
        // It may stand in parentheses, but not over the end of a part of a sentence.
        if word.trim_start_matches(|c: char| !c.is_alphabetic()) == "of"
            && next.starts_with("which")
        {
            found.push((*number, "of which"));
        }
    }
    found
}

#[test]
fn the_pages_are_plain() {
    let mut found = Vec::new();
    for page in pages().into_iter().chain(["CONTRIBUTING.md".to_owned()]) {
        let words = words_to_avoid(&read(&page));
        found.extend(words.iter().map(|(line, word)| format!("{page}:{line}: {word}")));
    }
    assert!(found.is_empty(), "say it in plainer words:\n{}", found.join("\n"));
}

/// The comments that have lines of their own; all other lines are empty.
fn comments(text: &str) -> String {
    let comment = |line: &str| {
        let comment = line.trim_start().strip_prefix("//").unwrap_or("");
        comment.trim_start_matches(['/', '!']).to_owned()
    };
    text.lines().map(comment).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_comments_are_plain() {
    let mut found = Vec::new();
    let mut files = Vec::new();
    walk(&Path::new(ROOT).join("src"), &mut files);
    assert!(files.len() > 100, "only {} files are read", files.len());
    for path in files {
        let words = words_to_avoid(&comments(&read(&path)));
        found.extend(words.iter().map(|(line, word)| format!("{path}:{line}: {word}")));
    }
    assert!(found.is_empty(), "say it in plainer words:\n{}", found.join("\n"));
}

#[test]
fn sees_words_to_avoid() {
    let text =
        "Whoever reads\n(\"anew\") a list,\nsome of\nwhich are long.\nRenewed; speak of, which";
    let found = words_to_avoid(text);
    assert_eq!(found, [(1, "whoever"), (2, "anew"), (3, "of which")]);
    let source = "let anew = 1;\n/// Runs of\n    //! which (anew)\nlet text = \"anew\";";
    assert_eq!(words_to_avoid(&comments(source)), [(2, "of which"), (3, "anew")]);
}

/// The comments of columns tell which words may stand there.
#[test]
fn the_schema_tells_the_words_that_are_recorded() {
    let sql = read("sql/mysql/002_optional.sql");
    let comment = |words: &[&str]| format!("COMMENT '{}'", words.join(", "));
    let causes = comment(&Cause::ALL.map(Cause::label));
    assert!(sql.contains(&causes), "{causes}");
    // What has landed is never changed: later words are told in the files that they came with.
    let later = [("paused", "sql/mysql/006_pause.sql")];
    let mut reasons = SkipReason::ALL.map(SkipReason::label).to_vec();
    reasons.retain(|reason| later.iter().all(|(word, _)| word != reason));
    assert!(sql.contains(&comment(&reasons)), "{reasons:?}");
    for (word, file) in later {
        assert!(read(file).contains(&format!("`{word}`")), "{word}");
    }
}

/// The pages have the words of the lists, all of them and no others.
#[test]
fn the_pages_tell_the_words_of_lists() {
    let states = StateLabel::ALL.into_iter().filter(|state| *state != StateLabel::Never);
    let states: Vec<&str> = states.map(StateLabel::label).collect();
    let api = read("docs/api.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(api.contains(&format!("`{}`, or `never`", states.join(" "))));
    let rows_of = |page: &str, head: &str| -> Vec<String> {
        let text = read(page);
        let (_, table) = text.split_once(head).unwrap();
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let first = rows.flat_map(|row| row.split('|').nth(1).unwrap().split(','));
        let words = first.filter_map(|word| word.trim().strip_prefix('`')?.strip_suffix('`'));
        let mut words: Vec<String> = words.map(str::to_owned).collect();
        words.sort();
        words
    };
    let sorted = |mut words: Vec<&'static str>| {
        words.sort_unstable();
        words
    };
    let table = "| states | colour | what it means |";
    assert_eq!(rows_of("docs/console.md", table), sorted(states));
    let reasons = sorted(SkipReason::ALL.map(SkipReason::label).to_vec());
    assert_eq!(rows_of("docs/jobs.md", "| reason | when |"), reasons);
    let outcomes = OutcomeKind::ALL.map(OutcomeKind::label).join(" ");
    assert!(read("docs/migration.md").contains(&format!("`{outcomes}`")), "{outcomes}");
}

/// The columns that a folder of `sql/` makes in `scheduler_jobs`: with the table, and later.
fn sql_columns(folder: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let files = fs::read_dir(Path::new(ROOT).join("sql").join(folder)).unwrap();
    let sql: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let (_, table) = sql.split_once("CREATE TABLE IF NOT EXISTS scheduler_jobs (\n").unwrap();
    let first_word = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let with_it = table.lines().take_while(|line| !line.starts_with(')')).map(first_word);
    let later = sql.split("ALTER TABLE scheduler_jobs ADD COLUMN ").skip(1).map(first_word);
    (with_it.collect(), later.collect())
}

/// `core/columns.rs` is the one list: tables and documentation have what is in it.
#[test]
fn each_column_of_a_job_is_made_and_told() {
    for folder in ["mysql", "sqlite"] {
        let (with_the_table, later) = sql_columns(folder);
        for column in Column::REQUIRED {
            assert!(with_the_table.contains(*column), "sql/{folder}/001 makes no column {column}");
        }
        let optional: BTreeSet<_> = Column::OPTIONAL.iter().map(|it| it.to_string()).collect();
        assert_eq!(later, optional, "columns that sql/{folder} adds (left), those of columns.rs");
    }
    let page = read("docs/jobs.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let told: BTreeSet<&str> = rows.flat_map(|cell| cell.split(['`', ','])).collect();
    for column in Column::ALL {
        let name = column.name();
        assert!(told.contains(name), "the table of docs/jobs.md does not tell of {name}");
    }
}

/// How many characters the texts of a job may have where a table limits them.
#[test]
fn the_widths_of_columns_are_told() {
    let files = fs::read_dir(Path::new(ROOT).join("sql/mysql")).unwrap();
    let sql: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let page = read("docs/jobs.md");
    let table = page.split("| column | characters |\n").nth(1).unwrap();
    let rows = table.lines().skip(1).map_while(|line| line.strip_prefix("| ")?.split_once(" | "));
    let mut told = BTreeMap::new();
    for (names, width) in rows {
        let width = width.trim_end_matches(" |").replace(',', "");
        told.extend(names.split(", ").map(|name| (name.replace('`', ""), width.clone())));
    }
    let of_jobs = sql.split("scheduler_jobs").skip(1).map(|part| part.split(';').next().unwrap());
    let of_jobs: String = of_jobs.collect();
    let width = |column: &&Column| {
        let (_, rest) = of_jobs.split_once(&format!(" {} VARCHAR(", column.name()))?;
        Some((column.name().to_owned(), rest.split_once(')')?.0.to_owned()))
    };
    let made: BTreeMap<_, _> = Column::ALL.iter().filter_map(|it| width(&it)).collect();
    assert_eq!(made, told, "widths in sql/mysql (left), in docs/jobs.md (right)");
}
