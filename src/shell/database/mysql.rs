//! MySQL and MariaDB: `sync` is what comes from there, `write` what goes there.

mod account;
mod address;
mod blame;
mod change;
mod connect;
mod edit;
mod explain;
mod grants;
mod kept;
mod past;
mod rights;
mod session;
mod settings;
mod sync;
mod width;
mod write;

pub use edit::Desk;
pub use grants::{told_to_change, told_to_edit};
pub use kept::Kept;
pub use rights::may_write;
pub use session::Session;
pub use sync::sync;
pub use write::Writer;
