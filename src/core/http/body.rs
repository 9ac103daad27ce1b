//! The body of a request: a number of bytes, or chunks (RFC 9112 §7.1).
//!
//! Chunk lines are read strictly: hexadecimal digits at once followed by CRLF or by `;`, no blanks
//! around, no bare line ends anywhere. Extensions and trailers are bounded and thrown away.

use super::Limits;
use super::head::{Framing, Refusal, TOO_LARGE, refuse};

/// Digits of a chunk size: more than any body limit, too few to overflow.
const MAX_SIZE_DIGITS: u8 = 8;
/// Bytes of all chunk extensions of one body; nobody uses them but attackers.
const MAX_EXTENSION_BYTES: usize = 1_024;

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// This many bytes, then the end (Content-Length).
    Content(usize),
    /// Digits of a chunk size: how many were read, and their value.
    Size(u8, usize),
    /// A chunk extension, up to CR.
    Extension(usize),
    /// LF after a chunk line; the size tells what follows.
    SizeEnd(usize),
    /// Bytes of a chunk.
    Chunk(usize),
    /// CR after a chunk.
    ChunkCr,
    /// LF after a chunk.
    ChunkLf,
    /// The first byte of a trailer line or of the last empty line.
    TrailerStart,
    /// The name of a trailer field.
    TrailerName,
    /// The value of a trailer field.
    TrailerValue,
    /// LF after a trailer line.
    TrailerLf,
    /// LF of the last empty line.
    LastLf,
    /// Nothing.
    Done,
}

/// Decodes one body, fed in pieces of any size.
#[derive(Debug)]
pub(super) struct Decoder {
    expect: Expect,
    most_bytes: usize,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailers: usize,
}

impl Decoder {
    /// One that may have so many bytes.
    pub(super) fn new(framing: Framing, most_bytes: usize) -> Decoder {
        let expect = match framing {
            Framing::None => Expect::Done,
            Framing::Length(length) => Expect::Content(length),
            Framing::Chunked => Expect::Size(0, 0),
        };
        Decoder { expect, most_bytes, extension_bytes: 0, trailer_bytes: 0, trailers: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.expect == Expect::Done
    }

    /// Takes what it can of `input`, appends content to `body` and returns how much it took.
    ///
    /// # Errors
    /// The answer to a body that is malformed or too large.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<usize, Refusal> {
        let mut at = 0;
        while at < input.len() && !self.is_done() {
            let rest = &input[at..];
            match self.expect {
                Expect::Content(left) => {
                    let taken = left.min(rest.len());
                    body.extend_from_slice(&rest[..taken]);
                    self.expect = match left - taken {
                        0 => Expect::Done,
                        left => Expect::Content(left),
                    };
                    at += taken;
                }
                Expect::Chunk(left) => {
                    let taken = left.min(rest.len());
                    body.extend_from_slice(&rest[..taken]);
                    self.expect = match left - taken {
                        0 => Expect::ChunkCr,
                        left => Expect::Chunk(left),
                    };
                    at += taken;
                }
                _ => {
                    self.expect = self.step(rest[0], body.len(), limits)?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// One byte of what is around the content.
    fn step(&mut self, byte: u8, length: usize, limits: &Limits) -> Result<Expect, Refusal> {
        match (self.expect, byte) {
            (Expect::Size(digits, size), byte) => self.size(digits, size, byte, length),
            (Expect::Extension(size), b'\r') => Ok(Expect::SizeEnd(size)),
            (Expect::Extension(size), byte) => self.extension(size, byte),
            (Expect::SizeEnd(0), b'\n') => Ok(Expect::TrailerStart),
            (Expect::SizeEnd(size), b'\n') => Ok(Expect::Chunk(size)),
            (Expect::ChunkCr, b'\r') => Ok(Expect::ChunkLf),
            (Expect::ChunkLf, b'\n') => Ok(Expect::Size(0, 0)),
            (Expect::LastLf, b'\n') => Ok(Expect::Done),
            (Expect::TrailerLf, b'\n') => Ok(Expect::TrailerStart),
            (Expect::TrailerStart, b'\r') => Ok(Expect::LastLf),
            (Expect::TrailerStart | Expect::TrailerName | Expect::TrailerValue, byte) => {
                self.trailer(byte, limits)
            }
            _ => Err(refuse(400, "A chunk does not end in CRLF where its size says.")),
        }
    }

    fn size(&self, digits: u8, size: usize, byte: u8, length: usize) -> Result<Expect, Refusal> {
        match (char::from(byte).to_digit(16), byte) {
            (Some(_), _) if digits == MAX_SIZE_DIGITS => {
                Err(refuse(400, "A chunk size has too many digits."))
            }
            (Some(digit), _) => {
                let size = size * 16 + digit as usize;
                if size > self.most_bytes.saturating_sub(length) {
                    return Err(TOO_LARGE);
                }
                Ok(Expect::Size(digits + 1, size))
            }
            (None, b'\r') if digits > 0 => Ok(Expect::SizeEnd(size)),
            (None, b';') if digits > 0 => Ok(Expect::Extension(size)),
            _ => Err(refuse(400, "A chunk size must be hexadecimal digits and CRLF.")),
        }
    }

    fn extension(&mut self, size: usize, byte: u8) -> Result<Expect, Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(refuse(400, "The chunk extensions are too long."));
        }
        match byte {
            b'\t' | 0x20..=0x7e | 0x80.. => Ok(Expect::Extension(size)),
            _ => Err(refuse(400, "A control character in a chunk extension.")),
        }
    }

    /// A byte of a trailer line. Trailers are not used here, yet must be well-formed lines, so that
    /// nothing can hide between them.
    fn trailer(&mut self, byte: u8, limits: &Limits) -> Result<Expect, Refusal> {
        self.trailer_bytes += 1;
        self.trailers += usize::from(self.expect == Expect::TrailerStart);
        if self.trailer_bytes > limits.header_bytes || self.trailers > limits.header_count {
            return Err(refuse(431, "The trailer fields are too long."));
        }
        let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        match (self.expect, byte) {
            (Expect::TrailerStart | Expect::TrailerName, _) if is_token => Ok(Expect::TrailerName),
            (Expect::TrailerName, b':') => Ok(Expect::TrailerValue),
            (Expect::TrailerValue, b'\r') => Ok(Expect::TrailerLf),
            (Expect::TrailerValue, b'\t' | 0x20..=0x7e | 0x80..) => Ok(Expect::TrailerValue),
            _ => Err(refuse(400, "A trailer line must be: NAME: VALUE, ended by CRLF.")),
        }
    }
}
