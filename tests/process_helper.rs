//! The pipes to helper processes never block, and a helper's death is an end, not an error.

mod process_support;

use process_support::{Stage, code, until, wait_for};
use schedule::core::outcome::Exit;
use schedule::shell::helper::{Helper, Moved};

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
