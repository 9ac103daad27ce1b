//! The `schedule` command.
fn main() {}
