//! MySQL and MariaDB: `sync` is what comes from there, `write` what goes there.

mod change;
mod explain;
mod session;
mod settings;
mod sync;
mod write;

pub use session::Session;
pub use sync::sync;
pub use write::Writer;
