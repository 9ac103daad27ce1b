//! One client of the server.
//!
//! ```text
//!           head complete          body complete       taken by next_request
//!   Head ─────────────────► Body ────────────────► Ready ──────────► Answering
//!    ▲ │                      │                                       │     │
//!    │ │ refused, timed out   │                          respond      │     │ stream
//!    │ └──────────┬───────────┘            ┌──────────────────────────┘     ▼
//!    │            ▼      the last answer   │                            Streaming
//!    │          Last ◄─────────────────────┤◄───────────────────────────────┘ finished
//!    └─────────── │ ───────────────────────┘ keep-alive
//!                 ▼ all sent: half-close
//!              Linger ──► Closed        (client closed, or time or bytes ran out)
//! ```
//!
//! Pipelined requests wait as bytes until the one before them is answered. The connection lingers
//! after its last answer (RFC 9112 §9.6): closing a socket with unread input makes the kernel send
//! a reset, which destroys the answer on its way.

mod handover;
mod pieces;

use std::io::IoSlice;
use std::rc::Rc;

use super::body::Decoder;
use super::encode::{self, Terms};
use super::head::{self, Exchange, Refusal, Scan, Scanner, refuse};
use super::headers::secured;
use super::output::Output;
use super::{Body, Ledger, Limits, Request, Response, cookies};
use crate::core::time::Now;

/// A request that was taken may have been acted on: who is told to try again would do it twice.
const LATE: &str = "The daemon did not answer in time. What was asked for may be done all the \
                    same: look before you ask again.";

/// Where a connection stands; see the picture above.
#[derive(Debug)]
enum State {
    Head,
    Body(Box<(Request, Decoder)>),
    Ready(Box<Request>),
    Answering,
    Streaming,
    /// The rest of a body, of so many bytes, follows in pieces.
    Sending(u64),
    Last,
    Linger,
    Closed,
}

/// One client's state machine.
#[derive(Debug)]
pub struct Connection {
    limits: Rc<Limits>,
    ledger: Rc<Ledger>,
    state: State,
    /// When the wait began that the deadline of the state counts from, monotonic.
    since_ms: u64,
    input: Vec<u8>,
    scanner: Scanner,
    exchange: Exchange,
    output: Output,
    /// When the reader last earned time: output began to wait, or enough of it was taken.
    write_since_ms: u64,
    /// Bytes taken since then.
    write_taken: usize,
    /// Bytes thrown away after the last answer was decided.
    discarded: usize,
    eof: bool,
    draining: bool,
    half_close: bool,
}

impl Connection {
    /// A client that has just connected.
    pub fn new(limits: &Rc<Limits>, now: Now) -> Connection {
        Connection::counted(limits, &Rc::default(), now)
    }

    /// The same, and what it holds counts with what others hold.
    pub fn counted(limits: &Rc<Limits>, ledger: &Rc<Ledger>, now: Now) -> Connection {
        Connection {
            limits: Rc::clone(limits),
            ledger: Rc::clone(ledger),
            state: State::Head,
            since_ms: now.mono_ms,
            input: Vec::new(),
            scanner: Scanner::default(),
            exchange: Exchange::default(),
            output: Output::default(),
            write_since_ms: 0,
            write_taken: 0,
            discarded: 0,
            eof: false,
            draining: false,
            half_close: false,
        }
    }

    /// A client there is no place for: it is told so (503) whatever it asks.
    pub fn refused(limits: &Rc<Limits>, now: Now) -> Connection {
        let mut connection = Connection::new(limits, now);
        connection.refuse(now, refuse(503, "All connections are in use; try again shortly."));
        connection
    }

    /// Takes bytes from the client.
    pub fn receive(&mut self, now: Now, bytes: &[u8]) {
        match self.state {
            State::Last | State::Linger => {
                self.discarded = self.discarded.saturating_add(bytes.len());
                if self.discarded > self.limits.linger_bytes {
                    self.close();
                }
            }
            State::Closed => {}
            State::Head if self.input.is_empty() => {
                self.since_ms = now.mono_ms;
                self.input.extend_from_slice(bytes);
                self.advance(now);
            }
            _ => {
                self.input.extend_from_slice(bytes);
                self.advance(now);
            }
        }
    }

    /// The client sends no more; it may still read. A reader of a stream is taken to have gone.
    pub fn received_eof(&mut self, now: Now) {
        self.eof = true;
        match self.state {
            State::Linger | State::Streaming => self.close(),
            _ => self.advance(now),
        }
    }

    /// Whether a complete request waits to be taken.
    pub fn has_request(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    /// The next request, once; the following one is there after this one was answered.
    pub fn next_request(&mut self) -> Option<Request> {
        match std::mem::replace(&mut self.state, State::Answering) {
            State::Ready(request) => Some(*request),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Answers the request that was taken last. An answer nobody waits for (the time to answer ran
    /// out meanwhile, the client has gone) is dropped; returns whether it was wanted.
    pub fn respond(&mut self, now: Now, response: Response) -> bool {
        if !matches!(self.state, State::Answering) {
            return false;
        }
        let left = response.body.left().filter(|_| !self.exchange.head_only);
        let streams = matches!(response.body, Body::Stream) && !self.exchange.head_only;
        let keep_alive = self.exchange.keep_alive
            && self.limits.keep_alive
            && !response.close
            && !self.draining
            && !(streams && self.exchange.old);
        self.queue_answer(now, response, keep_alive);
        self.exchange.keep_alive = keep_alive;
        match (streams, left, keep_alive) {
            (true, ..) => self.enter(now, State::Streaming),
            (_, Some(left), _) => self.enter(now, State::Sending(left)),
            (_, None, true) => self.await_next(now),
            (_, None, false) => self.last(now),
        }
        true
    }

    /// The bytes to send next (not necessarily all of them).
    pub fn output(&self) -> &[u8] {
        self.output.front()
    }

    /// Bytes that wait to be sent.
    pub fn output_bytes(&self) -> usize {
        self.output.len()
    }

    /// Fills `slices` for a vectored write; returns how many.
    pub fn output_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.output.slices(slices)
    }

    /// `count` bytes of the output were sent.
    pub fn sent(&mut self, now: Now, count: usize) {
        self.output.consume(count);
        self.write_taken += count;
        if self.write_taken >= Limits::WRITE_STEP_BYTES {
            self.write_taken = 0;
            self.write_since_ms = now.mono_ms;
        }
        if self.output.is_empty() && matches!(self.state, State::Last) {
            self.half_close = true;
            self.enter(now, State::Linger);
            if self.eof {
                self.close();
            }
        } else if matches!(self.state, State::Head) {
            // A queue that was full may have held back the next request.
            self.advance(now);
        }
    }

    /// Whether the sending side is to be shut down now; says so once.
    pub fn take_half_close(&mut self) -> bool {
        std::mem::take(&mut self.half_close)
    }

    /// Whether more bytes are wanted. `false` is back-pressure: the client has sent more than it
    /// has taken answers for.
    pub fn wants_read(&self) -> bool {
        match self.state {
            State::Closed => false,
            _ if self.eof => false,
            State::Last | State::Linger | State::Body(_) => true,
            State::Head if !self.is_held_back() => true,
            _ => self.input.len() < self.limits.input_bytes,
        }
    }

    /// Whether the socket is to be closed.
    pub fn should_close(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether nothing is under way: no request begun, no answer to send.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Head) && self.input.is_empty() && self.output.is_empty()
    }

    /// Whether more has been sent behind the request that is complete.
    pub fn pipelines(&self) -> bool {
        self.has_request() && !self.input.is_empty()
    }

    /// Whether the client may be sent away when places are short: no request of it is complete.
    pub fn may_give_way(&self) -> bool {
        match self.state {
            State::Head => self.output.is_empty(),
            State::Body(_) | State::Linger => true,
            _ => false,
        }
    }

    /// Whether the answer to a request is awaited, or the rest of one.
    pub fn is_engaged(&self) -> bool {
        matches!(self.state, State::Answering) || self.is_streaming()
    }

    /// Ends the connection as soon as what is under way is answered; at once if it is idle.
    pub fn drain(&mut self, now: Now) {
        self.draining = true;
        match self.state {
            State::Head if self.input.is_empty() => self.last(now),
            State::Streaming => self.finish(now),
            _ => {}
        }
    }

    /// When [`Connection::timed_out`] is due, monotonic milliseconds; `None` = never.
    pub fn deadline_ms(&self) -> Option<u64> {
        let writing = (!self.output.is_empty()).then(|| self.write_since_ms + self.limits.write_ms);
        let limits = &self.limits;
        let state = match self.state {
            State::Head if !self.output.is_empty() => None,
            State::Head if self.input.is_empty() => Some(self.since_ms + limits.idle_ms),
            State::Head => Some(self.since_ms + limits.header_ms),
            State::Body(_) => Some(self.since_ms + limits.body_ms),
            State::Ready(_) | State::Answering => Some(self.since_ms + limits.answer_ms),
            State::Sending(_) if self.output.is_empty() => Some(self.since_ms + limits.answer_ms),
            State::Linger => Some(self.since_ms + limits.linger_ms),
            State::Streaming | State::Sending(_) | State::Last | State::Closed => None,
        };
        match (writing, state) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Does what a passed deadline asks for; nothing if none has passed.
    pub fn timed_out(&mut self, now: Now) {
        if self.deadline_ms().is_none_or(|deadline| deadline > now.mono_ms) {
            return;
        }
        let writing = self.write_since_ms.saturating_add(self.limits.write_ms);
        if !self.output.is_empty() && writing <= now.mono_ms {
            return self.close();
        }
        match self.state {
            State::Head if !self.input.is_empty() => {
                self.exchange = Exchange::of_part(&self.input);
                self.refuse(now, refuse(408, "The head of the request took too long."));
            }
            State::Body(_) => {
                self.refuse(now, refuse(408, "The body of the request took too long."));
            }
            State::Ready(_) => {
                self.refuse(now, refuse(503, "The daemon was too busy to answer; try again."));
            }
            State::Answering => self.refuse(now, refuse(504, LATE)),
            _ => self.close(),
        }
    }

    /// Answers held back for a reader that does not take those it has.
    fn is_held_back(&self) -> bool {
        self.output.answers() >= self.limits.pipelined
            || self.output.len() >= self.limits.output_bytes
    }

    /// Interprets what has arrived, as far as one request at a time permits.
    fn advance(&mut self, now: Now) {
        let mut input = std::mem::take(&mut self.input);
        let mut used = 0;
        loop {
            let held_back = self.is_held_back();
            let step = match &mut self.state {
                State::Head if used < input.len() && !held_back => {
                    self.read_head(now, &input[used..])
                }
                State::Body(pair) => {
                    let (request, decoder) = &mut **pair;
                    let step = decoder.feed(&input[used..], &mut request.body, &self.limits);
                    if decoder.is_done() {
                        self.complete(now);
                    }
                    step
                }
                _ => break,
            };
            match step {
                Ok(taken) if taken > 0 => used += taken,
                Ok(_) => break,
                Err(refusal) => {
                    self.discarded = input.len() - used;
                    self.refuse(now, refusal);
                    break;
                }
            }
        }
        if matches!(self.state, State::Last | State::Linger | State::Closed) || used == input.len()
        {
            input = Vec::new();
        } else {
            input.drain(..used);
        }
        self.input = input;
        if self.eof {
            self.advance_eof(now);
        }
    }

    /// No more bytes will come: what is incomplete stays so.
    fn advance_eof(&mut self, now: Now) {
        match self.state {
            State::Head if self.input.is_empty() => self.last(now),
            State::Head if self.is_held_back() => {}
            State::Head => {
                self.exchange = Exchange::of_part(&self.input);
                self.refuse(now, refuse(400, "The request ended before it was complete."));
            }
            State::Body(_) => {
                self.refuse(now, refuse(400, "The request ended before it was complete."));
            }
            _ => {}
        }
    }

    /// Looks for a head in `input`; returns the bytes used: none until it is complete.
    fn read_head(&mut self, now: Now, input: &[u8]) -> Result<usize, Refusal> {
        let range = match self.scanner.scan(input, &self.limits) {
            Scan::Partial => return Ok(0),
            Scan::Complete(range) => range,
            Scan::Refused(refusal) => {
                self.exchange = Exchange::of_part(input);
                return Err(refusal);
            }
        };
        self.scanner = Scanner::default();
        let end = range.end;
        let bytes = cookies::without_foreign(&input[range]);
        self.exchange = Exchange::of_part(&bytes);
        let head = head::parse(&bytes, &self.limits)?;
        self.exchange = head.exchange;
        let decoder = Decoder::new(head.framing, head.body_bytes);
        if !decoder.is_done() && self.ledger.is_over() {
            return Err(refuse(503, "There is no memory for the body now; try again shortly."));
        }
        if head.expects_continue {
            self.note_queueing(now);
            self.output.bytes(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
        }
        if head.asterisk && decoder.is_done() {
            self.state = State::Answering;
            self.respond_to_asterisk(now);
        } else if decoder.is_done() {
            self.enter(now, State::Ready(Box::new(head.request)));
        } else {
            self.enter(now, State::Body(Box::new((head.request, decoder))));
        }
        Ok(end)
    }

    /// The body has arrived.
    fn complete(&mut self, now: Now) {
        self.since_ms = now.mono_ms;
        match std::mem::replace(&mut self.state, State::Answering) {
            State::Body(pair) if pair.0.path == "*" => self.respond_to_asterisk(now),
            State::Body(pair) => self.state = State::Ready(Box::new(pair.0)),
            other => self.state = other,
        }
    }

    /// `OPTIONS *` asks for what holds for every page: a ping (RFC 9110 §9.3.7).
    fn respond_to_asterisk(&mut self, now: Now) {
        let keep_alive = self.exchange.keep_alive && self.limits.keep_alive && !self.draining;
        self.queue_answer(now, Response::options("GET, HEAD, POST, OPTIONS"), keep_alive);
        match keep_alive {
            true => self.enter(now, State::Head),
            false => self.last(now),
        }
    }

    /// Waits for the next request, which may be there already.
    fn await_next(&mut self, now: Now) {
        self.enter(now, State::Head);
        self.advance(now);
    }

    /// Queues the answer that ends the connection.
    fn refuse(&mut self, now: Now, refusal: Refusal) {
        self.queue_answer(now, refusal.response(), false);
        self.last(now);
    }

    /// Nothing more is interpreted; what is queued is still sent.
    fn last(&mut self, now: Now) {
        self.discarded += std::mem::take(&mut self.input).len();
        self.enter(now, State::Last);
        if self.output.is_empty() {
            self.sent(now, 0);
        }
    }

    fn queue_answer(&mut self, now: Now, response: Response, keep_alive: bool) {
        self.note_queueing(now);
        let terms = Terms { keep_alive, wall_ms: now.wall_ms };
        let response = secured(response);
        encode::answer((&mut self.output, &self.ledger), response, &self.exchange, terms);
        self.output.count_answer();
    }

    /// The reader's time counts from the first byte that waits.
    fn note_queueing(&mut self, now: Now) {
        if self.output.is_empty() {
            self.write_since_ms = now.mono_ms;
            self.write_taken = 0;
        }
    }

    fn enter(&mut self, now: Now, state: State) {
        self.since_ms = now.mono_ms;
        self.state = state;
    }

    /// Gives everything up.
    fn close(&mut self) {
        self.state = State::Closed;
        self.input = Vec::new();
        self.output = Output::default();
    }
}
