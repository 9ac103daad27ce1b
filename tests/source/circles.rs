//! Modules that use each other in a circle can't be understood, or changed, one at a time.

use crate::source::Source;
use crate::tidy::walk;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module as the parts of its path.
type Module = Vec<String>;

/// Who uses whom. A module and what is within it count as one: they may use each other.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

/// `src/core/http/head.rs` as a module.
fn module_of(path: &str) -> Module {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    inner.trim_end_matches("/mod").split('/').map(str::to_owned).collect()
}

/// The module of this crate that a name leads into, as it is written in module `here`.
fn target(name: &str, here: &Module, all: &BTreeSet<Module>) -> Option<Module> {
    let mut parts: Vec<&str> = name.split("::").filter(|part| !part.is_empty()).collect();
    let mut base: Module = here.clone();
    match *parts.first()? {
        "crate" => base.clear(),
        "super" => {
            while parts.first() == Some(&"super") {
                base.pop();
                parts.remove(0);
            }
            parts.insert(0, "");
        }
        "self" => {}
        child => {
            let within = [&here[..], &[child.to_owned()]].concat();
            if !all.contains(&within) {
                return None;
            }
            parts.insert(0, "");
        }
    }
    base.extend(parts[1..].iter().map(|part| (*part).to_owned()));
    while !base.is_empty() && !all.contains(&base) {
        base.pop();
    }
    (!base.is_empty()).then_some(base)
}

fn is_within(inner: &Module, outer: &Module) -> bool {
    inner.starts_with(outer)
}

fn uses(files: &BTreeMap<Module, String>) -> Uses {
    let all: BTreeSet<Module> = files.keys().cloned().collect();
    let mut found = Uses::new();
    for (here, text) in files {
        // Tests may use what they like.
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let names = Source::read(code).names();
        let targets = names.iter().filter_map(|(_, name)| target(name, here, &all));
        let others = targets.filter(|it| !is_within(it, here) && !is_within(here, it));
        found.insert(here.clone(), others.collect());
    }
    found
}

/// A way from a module back to itself, if there is one.
fn circle(uses: &Uses) -> Option<Vec<Module>> {
    fn walk(at: &Module, uses: &Uses, way: &mut Vec<Module>, done: &mut BTreeSet<Module>) -> bool {
        if let Some(first) = way.iter().position(|it| it == at) {
            way.drain(..first);
            return true;
        }
        if !done.insert(at.clone()) {
            return false;
        }
        way.push(at.clone());
        if uses.get(at).into_iter().flatten().any(|next| walk(next, uses, way, done)) {
            return true;
        }
        way.pop();
        false
    }
    let mut done = BTreeSet::new();
    uses.keys().find_map(|module| {
        let mut way = Vec::new();
        walk(module, uses, &mut way, &mut done).then_some(way)
    })
}

fn told(way: &[Module]) -> String {
    way.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" -> ")
}

#[test]
fn modules_use_each_other_in_no_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join("src"), &mut paths);
    let read = |path: &String| {
        let inner = path.strip_prefix(root.to_str().unwrap()).unwrap().trim_start_matches('/');
        (module_of(inner), fs::read_to_string(path).unwrap())
    };
    let files: BTreeMap<Module, String> = paths.iter().map(read).collect();
    assert!(files.len() > 100, "only {} modules", files.len());
    let found = circle(&uses(&files));
    assert!(found.is_none(), "a circle: {}", told(&found.unwrap_or_default()));
}

#[test]
fn sees_circles() {
    let files = |texts: &[(&str, &str)]| {
        texts.iter().map(|(path, text)| (module_of(path), (*text).to_owned())).collect()
    };
    let found = |texts: &[(&str, &str)]| circle(&uses(&files(texts))).map(|way| told(&way));
    let a = ("src/core/a.rs", "use super::b::X;");
    let b = ("src/core/b.rs", "fn f() { crate::core::c::g() }");
    let back = ("src/core/c.rs", "use crate::core::{a::Y, d};");
    assert!(found(&[a, b, ("src/core/c.rs", "//! crate::core::a")]).is_none());
    assert_eq!(found(&[a, b, back]).as_deref(), Some("core::a -> core::b -> core::c"));
    // A module and what is within it are one.
    assert!(
        found(&[("src/a.rs", "mod in;\nuse in::X;"), ("src/a/in.rs", "use super::Y;")]).is_none()
    );
    let tested = "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::core::a;\n}";
    assert!(found(&[a, ("src/core/b.rs", tested)]).is_none());
}
