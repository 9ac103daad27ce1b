//! The clocks, and a timer on the wall clock.

use crate::core::time::Now;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// How long it is until the monotonic clock shows this, ms.
pub fn until(mono_ms: u64) -> std::time::Duration {
    std::time::Duration::from_millis(mono_ms.saturating_sub(now().mono_ms))
}

/// Reads both clocks.
pub fn now() -> Now {
    let wall = clock_gettime(ClockId::Realtime);
    let mono = clock_gettime(ClockId::Monotonic);
    Now {
        wall_ms: wall.tv_sec * 1000 + wall.tv_nsec / 1_000_000,
        mono_ms: (mono.tv_sec * 1000 + mono.tv_nsec / 1_000_000).unsigned_abs(),
    }
}

/// The monotonic clock in microseconds.
pub fn mono_us() -> u64 {
    let mono = clock_gettime(ClockId::Monotonic);
    (mono.tv_sec * 1_000_000 + mono.tv_nsec / 1000).unsigned_abs()
}

/// Wakes the loop when the wall clock shows a given instant, or when somebody set the clock: a
/// poll's time-out is neither exact to the millisecond nor does it see the clock jump.
pub struct WallTimer {
    fd: OwnedFd,
    armed_ms: Option<i64>,
}

impl WallTimer {
    /// A timer that is not armed.
    ///
    /// # Errors
    /// No descriptor, or a kernel without timerfd (before Linux 2.6.25).
    pub fn new() -> io::Result<WallTimer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Realtime, flags)?;
        Ok(WallTimer { fd, armed_ms: None })
    }

    /// The descriptor to poll for reading.
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Arms the timer for an instant (unix ms), or disarms it. Costs nothing if it is already.
    ///
    /// # Errors
    /// An instant before 1970.
    pub fn arm(&mut self, at_ms: Option<i64>) -> io::Result<()> {
        if self.armed_ms == at_ms {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let at = at_ms.map_or(zero, |ms| Timespec {
            tv_sec: ms.div_euclid(1000),
            tv_nsec: ms.rem_euclid(1000) * 1_000_000,
        });
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.fd, flags, &Itimerspec { it_interval: zero, it_value: at })?;
        self.armed_ms = at_ms;
        Ok(())
    }

    /// Takes note that the timer rang (or that the clock was set: `ECANCELED`).
    pub fn rang(&mut self) {
        let _ = rustix::io::read(&self.fd, &mut [0u8; 8]);
        self.armed_ms = None;
    }
}
