//! The `schedule` command.
use std::process::ExitCode;

fn main() -> ExitCode {
    // A helper process answers one question and ends, every few seconds: it goes straight to work,
    // before anything is built that it does not need.
    if std::env::args_os().nth(1).is_some_and(|word| word == "exchange") {
        return schedule::shell::database::exchange();
    }
    ExitCode::SUCCESS
}
