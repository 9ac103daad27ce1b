//! MySQL and MariaDB: `sync` is what comes from there, `write` what goes there.

mod account;
mod address;
mod blame;
mod change;
mod connect;
mod edit;
mod explain;
mod kept;
mod past;
mod rights;
mod session;
mod settings;
mod sync;
mod width;
mod write;

pub use edit::Desk;
pub use explain::told_to_change;
pub use kept::Kept;
pub use rights::may_write;
pub use session::Session;
pub use sync::sync;
pub use write::Writer;
