//! The pipes to helper processes never block, and a helper's death is an end, not an error.

use crate::common::{TempDir, our_program};
use crate::process_support::{Stage, code, until, wait_for};
use schedule::core::outcome::Exit;
use schedule::shell::clock;
use schedule::shell::files::helper::{Question, What};
use schedule::shell::helper::{Helper, Moved};
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

#[test]
fn a_megabyte_goes_through_in_bounded_pieces() {
    let _stage = Stage::set();
    let mut helper = Helper::start(c"/bin/cat", &[c"cat"]).unwrap();
    let question: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
    let (mut sent, mut answer) = (0, Vec::new());
    // Nobody reads the answer yet, so both pipes fill up: a blocking write would hang here.
    while let Moved::Bytes(bytes) = helper.write_some(&question[sent..]).unwrap() {
        sent += bytes;
    }
    assert!(sent < question.len(), "the pipe was never full");
    let mut piece = [0; 4096];
    until("the answer has ended", || {
        if sent == question.len() {
            helper.close_stdin();
        } else if let Moved::Bytes(bytes) = helper.write_some(&question[sent..]).unwrap() {
            sent += bytes;
        }
        // As a loop does: a few pieces a turn.
        for _ in 0..16 {
            match helper.read_some(&mut piece).unwrap() {
                Moved::Bytes(bytes) => answer.extend_from_slice(&piece[..bytes]),
                Moved::Later => break,
                Moved::End => return true,
            }
        }
        false
    });
    assert!(answer == question, "{} bytes", answer.len());
    assert_eq!(helper.stdout_fd(), None);
    assert_eq!(wait_for(helper.pid()).exit, code(0));
}

#[test]
fn a_helper_that_reads_nothing_is_an_end() {
    let _stage = Stage::set();
    let mut helper = Helper::start(c"/bin/sh", &[c"sh", c"-c", c"echo no; exit 9"]).unwrap();
    let ended = wait_for(helper.pid());
    assert_eq!(ended.exit, code(9));
    assert_eq!(helper.write_some(b"question").unwrap(), Moved::End);
    assert_eq!(helper.stdin_fd(), None);
    let mut piece = [0; 64];
    assert_eq!(helper.read_some(&mut piece).unwrap(), Moved::Bytes(3));
    assert_eq!(helper.read_some(&mut piece).unwrap(), Moved::End);
    assert_eq!(helper.read_some(&mut piece).unwrap(), Moved::End);
}

#[test]
fn a_helper_that_hangs_is_killed_with_its_children() {
    let _stage = Stage::set();
    let mut helper =
        Helper::start(c"/bin/sh", &[c"sh", c"-c", c"sleep 60 & echo up; wait"]).unwrap();
    let mut piece = [0; 64];
    until("both are there", || helper.read_some(&mut piece).unwrap() == Moved::Bytes(3));
    assert_eq!(helper.read_some(&mut piece).unwrap(), Moved::Later);
    helper.kill();
    assert_eq!(wait_for(helper.pid()).exit, Exit::Signal { number: 9, core_dumped: false });
    // Only when sleep is dead too has nobody the other end of stdout.
    until("stdout ends", || helper.read_some(&mut piece).unwrap() == Moved::End);
}

#[test]
fn a_helper_that_cannot_be_started_is_an_error() {
    let _stage = Stage::set();
    let error = Helper::start(c"/no/such/helper", &[c"x"]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(2));
}

/// What it is asked so late that nobody waits any more changes nothing.
#[test]
fn a_late_question_to_a_helper_for_files_changes_nothing() {
    let _stage = Stage::set();
    let dir = TempDir::new();
    let (old, new) = (dir.file("old"), dir.file("new"));
    std::fs::write(&old, "text").unwrap();
    let (mut ours, its) = UnixStream::pair().unwrap();
    let mut command = our_program();
    let mut child = command.arg("files").stdin(OwnedFd::from(its)).spawn().unwrap();
    drop(command);
    let mut said = BufReader::new(ours.try_clone().unwrap()).lines();
    let mut ask = |path: &str, what, not_after_ms| {
        let question = Question { path: path.into(), what, not_after_ms };
        writeln!(ours, "{}", serde_json::to_string(&question).unwrap()).unwrap();
        said.next().unwrap().unwrap()
    };
    let now_ms = clock::now().mono_ms;
    for (not_after_ms, is_done) in [(now_ms, false), (now_ms + 600_000, true)] {
        let answers = [ask(&old, What::Clear, not_after_ms), ask(&new, What::Append, not_after_ms)];
        assert_eq!(answers.each_ref().map(|it| it.contains("Ok")), [is_done; 2], "{answers:?}");
        assert_eq!(std::fs::read(&old).unwrap().is_empty(), is_done);
        assert_eq!(std::fs::exists(&new).unwrap(), is_done);
    }
    ours.shutdown(Shutdown::Both).unwrap();
    assert!(child.wait().unwrap().success());
}
