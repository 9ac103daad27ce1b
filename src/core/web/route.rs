//! What a route is: a path and a method, what is done there and for whom; and which one a request
//! asks for.

use super::Web;
use super::actions::Command;
use super::call::{Awaits, Call, is_api};
use super::origin::{self, Listening};
use super::output::OriginalPage;
use super::past::Question;
use super::pause::Wants;
use super::slow::Work;
use super::sources::Source;
use crate::core::change::Change;
use crate::core::http::{Method, Request, Response};
use crate::core::ids::ConnId;
use crate::core::scheduler::Scheduler;
use crate::core::time::Now;

/// What somebody must be allowed to do. Each may do what those before it may. It is only written
/// down: nobody is kept out by this yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing: everyone who can connect is answered.
    Anyone,
    /// See everything.
    Viewer,
    /// Start, stop, clear and sync.
    Operator,
    /// Change jobs and what belongs to them.
    Editor,
}

/// What is done at a route. It says what the function of a route may change, and whose pages may
/// ask.
#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// Shows what is known now.
    Show(fn(&mut Web, &Scheduler, &Call<'_>) -> Response),
    /// Shows a file, or follows it.
    File(fn(&Call<'_>) -> Result<Source, Response>),
    /// Shows a file as a page of the original.
    Original(fn(&mut Web, &Scheduler, &Request) -> Result<OriginalPage, Response>),
    /// Opens the stream of what changes.
    Events,
    /// Works on an answer in slices, and tells it when that is done.
    Slow(fn(&Scheduler, &Call<'_>) -> Result<Work, Response>),
    /// Finds out what was, and tells it when the database has answered.
    Past(fn(&Scheduler, &Call<'_>) -> Result<Question, Response>),
    /// Has something done, and tells what became of it as JSON.
    Command(fn(&Call<'_>) -> Result<Command, Response>),
    /// Has a job changed, and tells what became of it as JSON.
    Change(fn(&Call<'_>) -> Result<Change, Response>),
    /// Has slots skipped, or launched again, and tells what became of it as JSON.
    Pause(fn(&Scheduler, &Call<'_>) -> Result<Wants, Response>),
    /// Has done what a form of a page says, and leads back to that page.
    Form,
    /// Shows a form to fill in.
    Sheet(fn(&mut Web, &Scheduler, &Call<'_>) -> Result<Response, Response>),
    /// Has a job changed as such a form says, and leads to the job.
    Entry(fn(&Call<'_>) -> Result<Change, Response>),
}

impl Does {
    /// Refuses what a page of another site may have caused: a change, and what would take a place.
    /// What is only shown it can't read.
    pub(super) fn check(self, listening: &Listening, request: &Request) -> Result<(), Response> {
        match self {
            Does::Show(_) | Does::Sheet(_) => Ok(()),
            // A link on another site may lead to a page; what is fetched by a script may not.
            Does::Original(_) if origin::is_link(request) => Ok(()),
            Does::Past(_) if !is_api(request.path()) && origin::is_link(request) => Ok(()),
            Does::Original(_) | Does::File(_) | Does::Events | Does::Slow(_) | Does::Past(_) => {
                listening.check_reader(request)
            }
            Does::Command(_) | Does::Change(_) | Does::Pause(_) | Does::Form | Does::Entry(_) => {
                listening.check_change(request)
            }
        }
    }
}

/// What there is for a method at a path.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The path as OpenAPI writes it: a segment in braces, one at the most, stands for any that is
    /// not empty.
    pub path: &'static str,
    /// The method; GET is HEAD as well.
    pub method: Method,
    /// Who may ask.
    pub role: Role,
    /// Whether it stands in `docs/openapi.json`.
    pub is_described: bool,
    pub(super) does: Does,
    /// Bytes of the path before the segment in braces: by them most routes are passed over.
    before: usize,
    awaits: Awaits,
    parameters: &'static [&'static [&'static str]],
    any_host: bool,
}

/// A route for programs that reads.
pub(super) const fn get(path: &'static str, does: Does, role: Role) -> Route {
    let (method, awaits, parameters) = (Method::Get, Awaits::Nothing, &[]);
    let (before, is_described, any_host) = (before_braces(path), true, false);
    Route { path, method, role, is_described, does, before, awaits, parameters, any_host }
}

const fn before_braces(path: &str) -> usize {
    let (bytes, mut at) = (path.as_bytes(), 0);
    while at < bytes.len() && bytes[at] != b'{' {
        at += 1;
    }
    at
}

/// A route for programs that acts.
pub(super) const fn post(path: &'static str, does: Does, role: Role) -> Route {
    Route { method: Method::Post, ..get(path, does, role) }
}

/// A route for programs that changes a part of something.
pub(super) const fn patch(path: &'static str, does: Does, role: Role) -> Route {
    Route { method: Method::Patch, ..get(path, does, role) }
}

/// A route for programs that takes something away.
pub(super) const fn delete(path: &'static str, does: Does, role: Role) -> Route {
    Route { method: Method::Delete, ..get(path, does, role) }
}

/// A route for people: no program needs to know of it.
pub(super) const fn page(path: &'static str, does: Does, role: Role) -> Route {
    Route { is_described: false, ..get(path, does, role) }
}

/// The same for what a page sends.
pub(super) const fn form(path: &'static str, does: Does, role: Role) -> Route {
    Route { is_described: false, ..post(path, does, role) }
}

impl Route {
    /// With the parameters of these lists.
    pub(super) const fn takes(self, parameters: &'static [&'static [&'static str]]) -> Route {
        Route { parameters, ..self }
    }

    /// With what must be known for an answer.
    pub(super) const fn awaits(self, awaits: Awaits) -> Route {
        Route { awaits, ..self }
    }

    /// Under any name of the machine: probes know none. So nothing else is there: no action of the
    /// original, which is done on every other path, and no page, whose frame tells of the daemon.
    pub(super) const fn any_host(self) -> Route {
        Route { any_host: true, ..self }
    }

    /// What a path has in place of the segment in braces, if it is a path of this route.
    fn argument<'a>(&self, path: &'a str) -> Option<&'a str> {
        let (before, rest) = self.path.split_at(self.before);
        let below = path.strip_prefix(before)?;
        if rest.is_empty() {
            return below.is_empty().then_some("");
        }
        let (_, after) = rest.split_once('}')?;
        let argument = below.strip_suffix(after)?;
        (!argument.is_empty() && !argument.contains('/')).then_some(argument)
    }

    fn first_segment(&self) -> &'static str {
        self.path[1..].split('/').next().unwrap_or_default()
    }
}

/// What there is at a path: a route for each method, or nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    routes: &'static [Route],
    argument: &'a str,
}

impl<'a> Place<'a> {
    /// The first one of a table that fits. Routes of the same path stand there side by side.
    pub(super) fn of(table: &'static [Route], path: &'a str) -> Place<'a> {
        let mut places = table.chunk_by(|one, next| one.path == next.path);
        let found = places.find_map(|routes| Some((routes, routes[0].argument(path)?)));
        let (routes, argument) = found.unwrap_or_default();
        Place { routes, argument }
    }

    /// The route for a method.
    pub(super) fn route(self, method: Method) -> Option<&'static Route> {
        let method = if method.is_read() { Method::Get } else { method };
        self.routes.iter().find(|route| route.method == method)
    }

    /// What a function of this place is given. What is not of the API takes any parameter, unless
    /// it names some.
    pub(super) fn call(self, now: Now, conn: ConnId, request: &'a Request) -> Call<'a> {
        let route = self.route(request.method).or(self.routes.first());
        let parameters = route.map(|route| route.parameters);
        let parameters = parameters.filter(|them| !them.is_empty() || is_api(request.path()));
        Call { now, since_ms: now.mono_ms, conn, request, argument: self.argument, parameters }
    }

    /// What must be known for an answer.
    pub(super) fn awaits(self, method: Method) -> Awaits {
        self.route(method).map_or(Awaits::Nothing, |route| route.awaits)
    }

    /// Whether it does not matter under which name the daemon is asked.
    pub(super) fn any_host(self) -> bool {
        self.routes.first().is_some_and(|route| route.any_host)
    }

    /// The answer to a method that has no route here: which ones have. None where nothing is here.
    pub(super) fn no_route(self, method: Method) -> Option<Response> {
        self.routes.first()?;
        let mut allow = String::new();
        for route in self.routes {
            allow.push_str(route.method.name());
            allow.push_str(if route.method.is_read() { ", HEAD, " } else { ", " });
        }
        allow.push_str(Method::Options.name());
        Some(match method {
            Method::Options => Response::options(&allow),
            Method::Get
            | Method::Head
            | Method::Post
            | Method::Put
            | Method::Patch
            | Method::Delete => Response::method_not_allowed(&allow),
        })
    }
}

/// What stands in front of a path that there is: a proxy may have left its own. Empty where no part
/// of the path is one.
pub(super) fn in_front<'a>(table: &[Route], request: &'a Request) -> Vec<&'a str> {
    let mut segments = request.segments();
    let is_first = |segment: &&str| table.iter().any(|route| route.first_segment() == *segment);
    let below = segments.iter().position(is_first).unwrap_or(0);
    segments.truncate(below);
    segments
}
