//! What clients send: the well-behaved, the odd and the hostile, each with what is due to it.

/// A name, the bytes, the statuses due, and whether the connection ends.
pub type Case = (&'static str, &'static [u8], &'static [u16], bool);

/// Requests that are to be served.
pub const GOOD: &[Case] = &[
    ("get", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[200], false),
    ("empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", &[200], false),
    ("ipv6 host", b"GET / HTTP/1.1\r\nHost: [::1]:3401\r\n\r\n", &[200], false),
    ("empty line first", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[200], false),
    ("absolute", b"GET http://b:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n", &[200], false),
    ("absolute bare", b"GET HTTP://b HTTP/1.1\r\nHost: a\r\n\r\n", &[200], false),
    ("query", b"GET /?q=a+b%26&a[]=1&a[]=2&x HTTP/1.1\r\nHost: a\r\n\r\n", &[200], false),
    ("raw utf-8", b"GET /?q=\xe5\xa4\x87 HTTP/1.1\r\nHost: a\r\n\r\n", &[200], false),
    ("spaces around value", b"GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", &[200], false),
    ("obs-text value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n", &[200], false),
    ("unused gzip", b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", &[200], false),
    ("head", b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", &[200], false),
    (
        "head then get",
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200],
        false,
    ),
    ("options *", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &[204], false),
    (
        "options * with a body, then get",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[204, 200],
        false,
    ),
    ("not allowed", b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", &[405], false),
    (
        "not modified",
        b"GET /tagged HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"t1\"\r\n\r\n",
        &[304],
        false,
    ),
    ("1.0", b"GET / HTTP/1.0\r\n\r\n", &[200], true),
    ("1.0 keep-alive", b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &[200], false),
    ("1.0 close wins", b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", &[200], true),
    ("close", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", &[200], true),
    (
        "nothing after close",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200],
        true,
    ),
    ("page closes", b"GET /close HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[200], true),
    (
        "pipeline",
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\n\
          Content-Length: 3\r\n\r\n\
          abcGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200, 200],
        false,
    ),
    ("length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", &[200], false),
    ("length zero", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", &[200], false),
    ("no length", b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", &[200], false),
    (
        "chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n\
          5\r\nhello\r\n00B;x=\"1\"\r\n, the world\r\n0\r\n\r\n",
        &[200],
        false,
    ),
    (
        "trailers, then another",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
          1\r\nx\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200],
        false,
    ),
    (
        "continue",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\nhi",
        &[100, 200],
        false,
    ),
    (
        "no continue in 1.0",
        b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
        &[200],
        true,
    ),
];

/// Requests that are to be refused, with the connection.
pub const BAD: &[Case] = &[
    // Line ends and characters (RFC 9112 §2.2, RFC 9110 §5.5).
    ("bare LF request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", &[400], true),
    ("bare LF header", b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", &[400], true),
    ("bare LF end", b"GET / HTTP/1.1\r\nHost: a\r\n\n", &[400], true),
    (
        "bare CR in value",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\rContent-Length: 5\r\n\r\n",
        &[400],
        true,
    ),
    ("bare CR in target", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("CR CR LF", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", &[400], true),
    ("NUL in value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", &[400], true),
    ("control in target", b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("DEL in value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", &[400], true),
    ("two empty lines first", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    // Names and folding (RFC 9112 §5.1, §5.2).
    ("folded", b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", &[400], true),
    ("folded first", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", &[400], true),
    ("blank line of blanks", b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", &[400], true),
    ("space before colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", &[400], true),
    (
        "tab before colon",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
        &[400],
        true,
    ),
    ("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", &[400], true),
    ("empty name", b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", &[400], true),
    ("bad name", b"GET / HTTP/1.1\r\nHost: a\r\nX(y): 1\r\n\r\n", &[400], true),
    ("non-ASCII name", b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: 1\r\n\r\n", &[400], true),
    // Framing (RFC 9112 §6).
    (
        "length and chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\
          \r\n0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "two lengths",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        &[400],
        true,
    ),
    (
        "the same length twice",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
        &[400],
        true,
    ),
    (
        "length list",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        &[400],
        true,
    ),
    ("length plus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", &[400], true),
    ("length minus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", &[400], true),
    ("length hex", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", &[400], true),
    ("length empty", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", &[400], true),
    (
        "length blank inside",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n",
        &[400],
        true,
    ),
    (
        "length overflow",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        &[413],
        true,
    ),
    (
        "other coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        &[501],
        true,
    ),
    (
        "nearly chunked",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        &[501],
        true,
    ),
    (
        "chunked with a parameter",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        &[501],
        true,
    ),
    (
        "chunked twice",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
          Transfer-Encoding: identity\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunked 1.0",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
        true,
    ),
    // Chunks (RFC 9112 §7.1).
    (
        "chunk bare LF",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunk not hex",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunk empty size",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunk blank",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunk too long",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunk ends in XX",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxXX0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunk ends in X LF",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxX\n0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunk ends in CR X",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\rX0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunk ends in LF",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "size ends in CR X",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\rXx\r\n0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "last line CR X",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\rX",
        &[400],
        true,
    ),
    (
        "trailer ends in CR X",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\rX\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunk many digits",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n000000001\r\nx\r\n\
          0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "chunk overflow",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nx",
        &[413],
        true,
    ),
    (
        "chunk extension with LF",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;\nx\r\n0\r\n\r\n",
        &[400],
        true,
    ),
    (
        "trailer folded",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n 2\r\n\
          \r\n",
        &[400],
        true,
    ),
    (
        "trailer no colon",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n",
        &[400],
        true,
    ),
    // Host and target (RFC 9112 §3.2).
    ("no host", b"GET / HTTP/1.1\r\n\r\n", &[400], true),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400], true),
    ("two hosts 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", &[400], true),
    ("host list", b"GET / HTTP/1.1\r\nHost: a, b c\r\n\r\n", &[400], true),
    ("host with user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", &[400], true),
    ("host with path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", &[400], true),
    ("host bad port", b"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", &[400], true),
    ("absolute with user", b"GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("absolute without host", b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("other scheme", b"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("relative", b"GET index.html HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("get *", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("fragment", b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("dot dot", b"GET /../State.php HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("encoded dot dot", b"GET /a/%2E%2e/b HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("encoded slash", b"GET /..%2f..%2fetc HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("backslash", b"GET /..\\..\\etc HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("encoded NUL", b"GET /a%00.css HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("encoded line end", b"GET /a%0d%0aX HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("path not UTF-8", b"GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("raw not UTF-8", b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    // Method, version, other protocols.
    ("connect", b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", &[501], true),
    ("trace", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", &[501], true),
    ("lower case", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", &[501], true),
    ("2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", &[505], true),
    ("1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", &[505], true),
    ("0.9", b"GET /\r\n\r\n", &[400], true),
    ("two spaces", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("tabs", b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("trailing space", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", &[400], true),
    ("version in lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n", &[400], true),
    ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &[400], true),
    ("h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0", &[505], true),
    ("ssh", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", &[400], true),
    ("http answer", b"HTTP/1.1 200 OK\r\nHost: a\r\n\r\n", &[400], true),
    // Expectations.
    ("other expectation", b"GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", &[417], true),
    (
        "body announced without length",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        &[411],
        true,
    ),
    (
        "too large, expecting",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n\r\n",
        &[413],
        true,
    ),
    (
        "good, then bad, then unseen",
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\
          Host: a\r\n\r\n",
        &[200, 400],
        true,
    ),
    ("bad head request", b"HEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400], true),
    (
        "head, then bad get",
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        &[200, 400],
        true,
    ),
];

/// Both.
pub fn all() -> impl Iterator<Item = &'static Case> {
    GOOD.iter().chain(BAD)
}
