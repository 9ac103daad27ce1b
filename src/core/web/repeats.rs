//! A request that is sent again makes nothing twice: a client gives it a key of its own
//! (`Idempotency-Key`, draft-ietf-httpapi-idempotency-key-header), and the same key is the same
//! request. Keys are known for a day: here as long as the program runs, and for longer in the
//! database, where that has the table of acts.

use crate::core::change::Of;
use crate::core::definition::hex;
use crate::core::http::{Request, Response};
use crate::core::plain;
use crate::core::protocol::Mark;
use crate::core::scheduler::Doubt;
use crate::core::time::Now;
use md5::{Digest, Md5};
use std::collections::{BTreeMap, VecDeque};

/// So long a key is known, in milliseconds.
const KEPT_MS: u64 = 24 * 3_600_000;

/// So many are known; beyond, the oldest are forgotten.
const MAX_KEPT: usize = 10_000;

/// Characters of a key.
const MAX_KEY_CHARS: usize = 255;

/// A key, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    text: String,
    /// MD5 of the body, and of what it is to make: the same body may be a tag, or a job.
    digest: String,
}

impl Key {
    /// That of a request to make something, if it has one. It may be in quotes.
    ///
    /// # Errors
    /// The answer to one that is no good.
    pub(super) fn of(request: &Request, of: Of) -> Result<Option<Key>, Response> {
        let mut all = request.headers("idempotency-key");
        let (Some(text), more) = (all.next(), all.next()) else { return Ok(None) };
        let text = str::from_utf8(text).unwrap_or_default();
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let is_good = (1..=MAX_KEY_CHARS).contains(&bare.len())
            && bare.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !is_good || more.is_some() {
            let shown = plain::shown(text);
            let why = format!(
                "Idempotency-Key: `{shown}` is no key: send one, of 1 to {MAX_KEY_CHARS} \
                 characters of ASCII, such as a UUID"
            );
            return Err(Response::problem(400, &why));
        }
        Ok(Some(Key::with(bare, request, of)))
    }

    /// The key with this text that came with a request.
    pub(super) fn with(text: &str, request: &Request, of: Of) -> Key {
        let mut digest = Md5::new();
        match of {
            // The database has it of jobs as earlier versions wrote it.
            Of::Job => {}
            Of::Tag | Of::Var => digest.update(format!("{}\n", of.noun())),
        }
        digest.update(&request.body);
        Key { text: text.to_owned(), digest: hex(&digest.finalize()) }
    }

    /// MD5 of the key, and of what came with it: so it is known for longer.
    pub(super) fn noted(&self) -> (String, String) {
        (hex(&Md5::digest(self.text.as_bytes())), self.digest.clone())
    }
}

/// The answer to a key that came with another body, or to another path, before.
pub(super) fn other_body() -> Response {
    let why = "Idempotency-Key: it was sent with another body, or to make something else, before: \
               take another key";
    let errors = serde_json::json!([{ "column": "Idempotency-Key", "why": why }]);
    Response::problem_with(422, why, serde_json::json!({ "errors": errors }))
}

/// The answer to a key that came before, and what it asks for is not done yet.
pub(super) fn under_way() -> Response {
    Response::problem(409, "a request with this Idempotency-Key is under way: ask again")
}

/// What is known of a key.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// Nothing.
    Not,
    /// It came with another body, or to make something else, before.
    OtherBody,
    /// It is under way.
    UnderWay,
    /// This has come of it.
    Made(Mark),
    /// Perhaps this has come of it.
    Doubted(Doubt),
}

#[derive(Debug)]
struct Kept {
    digest: String,
    until_ms: u64,
    /// None: it is under way.
    known: Option<Known>,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    kept: BTreeMap<String, Kept>,
    /// In the order in which they came; some are forgotten by now.
    order: VecDeque<(u64, String)>,
}

impl Repeats {
    /// What is known of a key.
    pub(super) fn find(&mut self, now: Now, key: &Key) -> Known {
        self.sweep(now);
        let Some(kept) = self.kept.get(&key.text) else { return Known::Not };
        if kept.digest != key.digest {
            return Known::OtherBody;
        }
        kept.known.clone().unwrap_or(Known::UnderWay)
    }

    /// A request with this key is under way.
    pub(super) fn begin(&mut self, now: Now, key: &Key) {
        let until_ms = now.mono_ms + KEPT_MS;
        let kept = Kept { digest: key.digest.clone(), until_ms, known: None };
        self.kept.insert(key.text.clone(), kept);
        self.order.push_back((until_ms, key.text.clone()));
    }

    /// It has come to this.
    pub(super) fn is(&mut self, key: &Key, known: Known) {
        self.kept.get_mut(&key.text).into_iter().for_each(|it| it.known = Some(known.clone()));
    }

    /// Nothing has come of it: it may be sent again.
    pub(super) fn forget(&mut self, key: &Key) {
        self.kept.remove(&key.text);
    }

    fn sweep(&mut self, now: Now) {
        while let Some((until_ms, _)) = self.order.front()
            && (*until_ms <= now.mono_ms || self.order.len() >= MAX_KEPT)
        {
            let Some((until_ms, text)) = self.order.pop_front() else { return };
            if self.kept.get(&text).is_some_and(|kept| kept.until_ms == until_ms) {
                self.kept.remove(&text);
            }
        }
    }
}
