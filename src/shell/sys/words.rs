//! What a process says when it is interrupted while it waits in a call that can't be left.

use rustix::stdio::stderr;
use signal_hook::consts::SIGINT;
use signal_hook::low_level::{emulate_default_handler, register};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

static WORDS: AtomicPtr<String> = AtomicPtr::new(ptr::null_mut());
static REGISTERED: OnceLock<()> = OnceLock::new();

/// From now on an interrupt (Ctrl-C) writes this text to stderr before it ends the process.
pub fn last_words(text: String) {
    // Never freed: a handler may be reading the one before. There are as many as statements.
    WORDS.store(Box::leak(Box::new(text)), Ordering::Release);
    REGISTERED.get_or_init(|| {
        let say = || {
            // SAFETY: it is null, or what was leaked above.
            if let Some(text) = unsafe { WORDS.load(Ordering::Acquire).as_ref() } {
                let _ = rustix::io::write(stderr(), text.as_bytes());
            }
            let _ = emulate_default_handler(SIGINT);
        };
        // SAFETY: a load, a write and the default action: each may be done in a handler. Where it
        // can't be registered, the process ends without a word.
        let _ = unsafe { register(SIGINT, say) };
    });
}
