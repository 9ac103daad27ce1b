//! The table of routes: it is what is described, and each of its lines is in force.

use crate::web_common::{Bench, row};
use schedule::core::http::Method;
use schedule::core::web::{ROUTES, Role, Route};
use serde_json::Value;
use std::collections::BTreeSet;

/// `GET /api/v1/jobs/{id}`
fn name(route: &Route) -> String {
    format!("{} {}", route.method.name(), route.path)
}

/// What a client asks for at a route.
fn target(route: &Route) -> String {
    match route.path.split_once('{') {
        Some((before, rest)) => format!("{before}1{}", rest.split_once('}').unwrap().1),
        None => route.path.to_owned(),
    }
}

/// The methods of a path, as `Allow` names them.
fn allowed(path: &str) -> String {
    let of_path = ROUTES.iter().filter(|route| route.path == path).map(|route| route.method);
    let names = of_path.flat_map(|method| match method {
        Method::Get => vec!["GET", "HEAD"],
        other => vec![other.name()],
    });
    names.chain(["OPTIONS"]).collect::<Vec<_>>().join(", ")
}

/// In both directions: what a program may ask for is described, and what is described is there.
#[test]
fn the_table_is_what_is_described() {
    let doc: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in doc["paths"].as_object().unwrap() {
        let of_path = methods.as_object().unwrap().keys();
        described.extend(of_path.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let routes: BTreeSet<String> =
        ROUTES.iter().filter(|route| route.is_described).map(name).collect();
    let only = |these: &BTreeSet<String>, those| these.difference(those).cloned().collect();
    let (missing, dead): (Vec<_>, Vec<_>) = (only(&routes, &described), only(&described, &routes));
    assert!(missing.is_empty(), "not described in docs/openapi.json: {missing:#?}");
    assert!(dead.is_empty(), "described in docs/openapi.json and no route: {dead:#?}");
    let api = ROUTES.iter().filter(|route| route.path.starts_with("/api/"));
    let hidden: Vec<String> = api.filter(|route| !route.is_described).map(name).collect();
    assert!(hidden.is_empty(), "a program may ask for {hidden:#?}");
}

/// Whether a path is one of a route's.
fn fits(route: &str, path: &str) -> bool {
    let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
    let same = |(one, other): (&&str, &&str)| one.starts_with('{') || one == other;
    route.len() == path.len() && route.iter().zip(&path).all(same)
}

/// The first that fits counts: `/jobs/new` stands before `/jobs/{id}`.
#[test]
fn no_route_hides_another() {
    for (at, route) in ROUTES.iter().enumerate() {
        let later = ROUTES[at + 1..].iter();
        let mut hidden = later.filter(|it| it.path != route.path && fits(route.path, it.path));
        assert_eq!(hidden.next().map(name), None, "{} hides it", route.path);
        let twice = ROUTES.iter().filter(|it| name(it) == name(route)).count();
        assert_eq!(twice, 1, "{}", name(route));
    }
}

/// The same rule for methods holds everywhere.
#[test]
fn each_route_is_found_at_its_path_by_its_method() {
    let mut bench = Bench::with(&[row(1, "0 0 1 1 *", "sleep 9")]);
    for route in ROUTES {
        let (target, allowed) = (target(route), allowed(route.path));
        let asked = bench.ask("OPTIONS", &target, "", "");
        assert_eq!(asked.is(204).header("Allow"), Some(&*allowed), "{target}");
        for method in Method::ALL.into_iter().filter(|method| *method != Method::Options) {
            let reply = bench.ask(method.name(), &target, "Host: localhost\r\n", "");
            let is_allowed = allowed.split(", ").any(|name| name == method.name());
            assert_eq!(reply.status != 405, is_allowed, "{} {target}", method.name());
            if !is_allowed {
                assert_eq!(reply.header("Allow"), Some(&*allowed), "{target}");
            }
        }
    }
}

/// What is wrong with a query is of no account where there is nothing for the method.
#[test]
fn the_method_is_judged_before_the_query() {
    let mut bench = Bench::with(&[row(1, "0 0 1 1 *", "sleep 9")]);
    for route in ROUTES {
        let (target, allowed) = (target(route), allowed(route.path));
        let target = format!("{target}?nonsense=1&action=start");
        let asked = bench.ask("OPTIONS", &target, "", "");
        assert_eq!(asked.is(204).header("Allow"), Some(&*allowed), "{target}");
        let others = ["PUT", "PATCH", "DELETE"];
        let others = others.into_iter().filter(|it| !allowed.split(", ").any(|name| name == *it));
        for method in others {
            let reply = bench.ask(method, &target, "Host: localhost\r\n", "");
            assert_eq!(reply.is(405).header("Allow"), Some(&*allowed), "{method} {target}");
        }
    }
    bench.get("/api/v1/status?nonsense=1").is(400);
    bench.ask("OPTIONS", "/jobs/", "", "").is(404);
    bench.ask("OPTIONS", "/api/v1/runs//output", "", "").is(404);
}

/// Forms to change a job with: who may not send one has no use for it.
const SHEETS: [&str; 4] = ["/jobs/new", "/jobs/{id}/edit", "/jobs/{id}/delete", "/jobs/{id}/back"];

/// Who may only look changes nothing. Nobody at all sees only what tells nothing of the jobs.
#[test]
fn the_roles_are_what_they_say() {
    for route in ROUTES {
        let changes = !route.method.is_read() || SHEETS.contains(&route.path);
        assert_eq!(route.role >= Role::Operator, changes, "{}", name(route));
    }
    let open = ROUTES.iter().filter(|route| route.role == Role::Anyone);
    let open: Vec<&str> = open.map(|route| route.path).collect();
    assert_eq!(open, ["/healthz", "/assets/{name}", "/favicon.ico"]);
}
