//! The HTTP server below the pages.

// In a test a panic is the answer.
#![allow(clippy::unwrap_used)]

mod budget;
mod clients;
mod codec;
#[path = "../support/common/mod.rs"]
mod common;
#[path = "../support/daemon/mod.rs"]
mod daemon;
#[path = "support/mod.rs"]
mod http_common;
mod limits;
#[path = "../support/nginx.rs"]
mod nginx;
mod proxied;
#[allow(dead_code)] // it has more than is drawn here
mod random;
mod response;
#[path = "support/serving.rs"]
mod serving;
mod socket;
