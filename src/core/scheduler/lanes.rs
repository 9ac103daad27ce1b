//! A lane to the database for each purpose: one question at a time with its deadline, and a helper
//! that stays for many.
//!
//! An answer names the question that it answers. What comes before that, or names another, is
//! somebody else's and is dropped. There is one helper in a lane at a time: until one is gone that
//! was told to end, or killed, nothing is asked there.

use crate::core::event::Action;
use crate::core::ids::AskId;
use crate::core::protocol::Purpose;
use crate::core::time::Now;

/// A helper is renewed after so many questions, for what its driver may not give back.
const MAX_QUESTIONS: u32 = 1_000;

/// It is renewed after so many milliseconds, so that its connection follows a name or a proxy that
/// leads to another server by now.
const MAX_AGE_MS: u64 = 300_000;

/// It ends when it was not asked for so many milliseconds: its connection is one that others need.
const MAX_IDLE_MS: u64 = 120_000;

/// It has so many milliseconds to end by itself.
const LEAVE_MS: u64 = 2_000;

/// A question whose answer brought nothing for so many milliseconds is without an answer, long
/// before its deadline. A table that takes long is not: its rows come meanwhile.
pub const SILENT_MS: u64 = 5_000;

/// Where the answer before had a longer pause in it, twice that is waited, up to so many
/// milliseconds: a database that is always slow is not in trouble again and again.
const MAX_SILENT_MS: u64 = 15_000;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiter {
    /// The table.
    Table,
    /// Records that are new.
    Records,
    /// What is set aside: it is tried again, or only looked at.
    Again,
    /// A client, who changes a job or asks what was, until this reading of the monotonic clock.
    Client {
        /// Milliseconds.
        until_ms: u64,
    },
    /// Nobody: old rows are deleted.
    Nobody,
}

/// A question under way.
#[derive(Debug)]
pub struct Asked {
    pub id: AskId,
    pub waiter: Waiter,
    /// Its helper had no more time.
    pub killed: bool,
    /// The time that its helper has, ms.
    pub given_ms: u64,
    deadline_ms: u64,
    /// The answer has named it.
    named: bool,
    /// When something of its answer came last, or it was asked, monotonic ms.
    heard_ms: u64,
    /// The longest pause in its answer so far, ms.
    pause_ms: u64,
    /// Nothing came for so long that it counts as being without an answer.
    pub silent: bool,
}

impl Asked {
    /// Something of the answer has come.
    fn heard(&mut self, now: Now) {
        self.pause_ms = self.pause_ms.max(now.mono_ms.saturating_sub(self.heard_ms));
        self.heard_ms = now.mono_ms;
    }
}

/// The helper of a lane.
#[derive(Debug, Default)]
enum Helper {
    /// There is none; the next question starts one.
    #[default]
    None,
    /// It stays.
    Stays { since_ms: u64, idle_from_ms: u64, questions: u32 },
    /// It was told to end, and is killed if it is still there then.
    Leaves { by_ms: u64 },
    /// It was killed.
    Killed,
}

/// What is to be done about a helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It is to end by itself.
    End,
    /// It is to be killed.
    Kill,
}

impl Order {
    /// The same to who has the helper of the lane of this purpose.
    pub fn action(self, purpose: Purpose) -> Action {
        match self {
            Order::End => Action::EndHelper(purpose),
            Order::Kill => Action::KillHelper(purpose),
        }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Lane {
    asked: Option<Asked>,
    helper: Helper,
    /// The longest pause in the last answer that was good, ms.
    usual_ms: u64,
}

impl Lane {
    /// Whether something may be asked.
    pub fn is_free(&self) -> bool {
        self.asked.is_none() && matches!(self.helper, Helper::None | Helper::Stays { .. })
    }

    /// The question under way.
    pub fn asked(&self) -> Option<&Asked> {
        self.asked.as_ref()
    }

    /// A question is put to the helper.
    pub fn ask(&mut self, now: Now, id: AskId, purpose: Purpose, waiter: Waiter) {
        debug_assert!(self.is_free(), "two questions at a time: {self:?}");
        let deadline_ms = match waiter {
            Waiter::Client { until_ms } => until_ms,
            Waiter::Table | Waiter::Records | Waiter::Again | Waiter::Nobody => {
                now.mono_ms + purpose.deadline_ms()
            }
        };
        self.asked = Some(Asked {
            id,
            waiter,
            killed: false,
            given_ms: deadline_ms.saturating_sub(now.mono_ms),
            deadline_ms,
            named: false,
            heard_ms: now.mono_ms,
            pause_ms: 0,
            silent: false,
        });
        if let Helper::Stays { questions, .. } = &mut self.helper {
            *questions += 1;
        } else {
            let since_ms = now.mono_ms;
            self.helper = Helper::Stays { since_ms, idle_from_ms: since_ms, questions: 1 };
        }
    }

    /// A line says that what follows answers this question.
    pub fn answers(&mut self, id: AskId) {
        self.asked.iter_mut().for_each(|asked| asked.named = asked.id == id);
    }

    /// Whether the line that has come is of the answer to the question under way.
    pub fn is_named(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.named)
    }

    /// A line of the answer to the question under way has come. Returns whether that was without an
    /// answer until now.
    pub fn heard(&mut self, now: Now) -> bool {
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.named) else { return false };
        asked.heard(now);
        std::mem::take(&mut asked.silent)
    }

    /// Whether the question under way is without an answer from now on.
    pub fn falls_silent(&mut self, now: Now) -> bool {
        let limit_ms = self.silent_after_ms();
        let Some(asked) = self.asked.as_mut().filter(|asked| !asked.silent) else { return false };
        asked.silent = now.mono_ms >= asked.heard_ms + limit_ms;
        asked.silent
    }

    /// Whether the question under way is without an answer.
    pub fn is_silent(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.silent)
    }

    fn silent_after_ms(&self) -> u64 {
        (2 * self.usual_ms).clamp(SILENT_MS, MAX_SILENT_MS)
    }

    /// A line says that this question is answered. Returns the one under way if it is that.
    pub fn done(&mut self, id: AskId) -> Option<Asked> {
        self.asked.take_if(|asked| asked.named && asked.id == id)
    }

    /// A line says that the question failed. Returns the one under way if it is that.
    pub fn failed(&mut self) -> Option<Asked> {
        self.asked.take_if(|asked| asked.named)
    }

    /// The helper is gone. Returns the question that it has not answered.
    pub fn helper_ended(&mut self) -> Option<Asked> {
        self.helper = Helper::None;
        self.asked.take()
    }

    /// This question is answered. Returns whether the helper is to end: after a failure nobody
    /// knows how it is, and none stays for ever.
    pub fn answered(&mut self, now: Now, asked: &Asked, well: bool) -> Option<Order> {
        if well {
            self.usual_ms = asked.pause_ms;
        }
        let Helper::Stays { since_ms, idle_from_ms, questions } = &mut self.helper else {
            return None;
        };
        *idle_from_ms = now.mono_ms;
        let is_old = *questions >= MAX_QUESTIONS || now.mono_ms >= *since_ms + MAX_AGE_MS;
        (!well || is_old).then(|| self.leave(now))
    }

    fn leave(&mut self, now: Now) -> Order {
        self.helper = Helper::Leaves { by_ms: now.mono_ms + LEAVE_MS };
        Order::End
    }

    /// What is to be done about the helper by now.
    pub fn order(&mut self, now: Now) -> Option<Order> {
        if self.order_at().is_none_or(|at_ms| now.mono_ms < at_ms) {
            return None;
        }
        if self.asked.is_none() && matches!(self.helper, Helper::Stays { .. }) {
            return Some(self.leave(now));
        }
        self.asked.iter_mut().for_each(|asked| asked.killed = true);
        self.helper = Helper::Killed;
        Some(Order::Kill)
    }

    /// When that, or whether the question is without an answer, is to be looked at, monotonic ms.
    pub fn wake(&self) -> Option<u64> {
        let asked = self.asked.as_ref().filter(|asked| !asked.silent);
        let silent_ms = asked.map(|asked| asked.heard_ms + self.silent_after_ms());
        self.order_at().into_iter().chain(silent_ms).min()
    }

    /// When [`Lane::order`] has something to do, monotonic ms.
    fn order_at(&self) -> Option<u64> {
        match (&self.helper, &self.asked) {
            (Helper::None | Helper::Killed, _) => None,
            (Helper::Stays { .. }, Some(asked)) => Some(asked.deadline_ms),
            (Helper::Stays { idle_from_ms, .. }, None) => Some(idle_from_ms + MAX_IDLE_MS),
            (Helper::Leaves { by_ms }, _) => Some(*by_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 1_800_000_000_000 + mono_ms as i64 }
    }

    /// Asks, and has it answered at once. Returns what is to be done about the helper.
    fn ask(lane: &mut Lane, mono_ms: u64, well: bool) -> Option<Order> {
        let id = AskId(mono_ms);
        lane.ask(at(mono_ms), id, Purpose::Sync, Waiter::Table);
        lane.answers(id);
        let asked = lane.done(id).unwrap();
        lane.answered(at(mono_ms), &asked, well)
    }

    #[test]
    fn a_helper_stays_for_so_many_questions_and_so_long() {
        let mut lane = Lane::default();
        for question in 1..MAX_QUESTIONS {
            assert_eq!(ask(&mut lane, question.into(), true), None);
        }
        assert_eq!(ask(&mut lane, MAX_QUESTIONS.into(), true), Some(Order::End));
        assert!(!lane.is_free());
        assert!(lane.helper_ended().is_none());
        assert!(lane.is_free());
        for mono_ms in [10_000, 10_000 + MAX_AGE_MS - 1] {
            assert_eq!(ask(&mut lane, mono_ms, true), None);
        }
        assert_eq!(ask(&mut lane, 10_000 + MAX_AGE_MS, true), Some(Order::End));
    }

    #[test]
    fn a_helper_that_failed_or_has_nothing_to_do_ends_and_is_killed_if_it_does_not() {
        let mut lane = Lane::default();
        assert_eq!(ask(&mut lane, 0, false), Some(Order::End));
        assert_eq!(lane.order(at(LEAVE_MS - 1)), None);
        assert_eq!(lane.order(at(LEAVE_MS)), Some(Order::Kill));
        assert_eq!((lane.order(at(LEAVE_MS * 9)), lane.is_free()), (None, false));
        lane.helper_ended();
        assert_eq!(ask(&mut lane, 50_000, true), None);
        assert_eq!(lane.order(at(50_000 + MAX_IDLE_MS - 1)), None);
        assert_eq!(lane.order(at(50_000 + MAX_IDLE_MS)), Some(Order::End));
    }

    #[test]
    fn only_the_question_under_way_is_answered() {
        let mut lane = Lane::default();
        lane.ask(at(0), AskId(8), Purpose::Record, Waiter::Records);
        // Nothing was named yet, or another question.
        assert!(lane.done(AskId(8)).is_none() && lane.failed().is_none());
        lane.answers(AskId(7));
        assert!(!lane.is_named() && lane.done(AskId(7)).is_none() && lane.failed().is_none());
        lane.answers(AskId(8));
        assert!(lane.is_named() && lane.done(AskId(7)).is_none());
        assert_eq!(lane.done(AskId(8)).map(|asked| asked.waiter), Some(Waiter::Records));
        // Nobody waits.
        lane.answers(AskId(8));
        assert!(!lane.is_named() && lane.done(AskId(8)).is_none());
    }

    #[test]
    fn a_helper_without_an_answer_is_killed_at_the_deadline_and_nothing_is_asked_before_its_end() {
        let mut lane = Lane::default();
        lane.ask(at(0), AskId(1), Purpose::Record, Waiter::Again);
        let deadline_ms = Purpose::Record.deadline_ms();
        assert_eq!(lane.order(at(deadline_ms - 1)), None);
        assert_eq!(lane.order(at(deadline_ms)), Some(Order::Kill));
        assert_eq!((lane.order(at(deadline_ms + 1)), lane.is_free()), (None, false));
        assert!(lane.helper_ended().is_some_and(|asked| asked.killed));
        assert!(lane.is_free());
    }

    /// Asks, with these times of the lines of its answer; the last one says that it is done.
    fn answer(lane: &mut Lane, from_ms: u64, lines_ms: &[u64]) {
        lane.ask(at(from_ms), AskId(from_ms), Purpose::Sync, Waiter::Table);
        lane.answers(AskId(from_ms));
        for line_ms in lines_ms {
            assert!(!lane.falls_silent(at(*line_ms - 1)), "{line_ms}");
            lane.heard(at(*line_ms));
        }
        let asked = lane.done(AskId(from_ms)).unwrap();
        lane.answered(at(from_ms), &asked, true);
    }

    #[test]
    fn a_question_of_which_nothing_comes_is_silent_and_one_of_which_rows_come_is_not() {
        let mut lane = Lane::default();
        answer(&mut lane, 0, &[1_000, 5_900, 10_800, 15_700]);
        // Its pauses were 4.9 s long: twice that is nothing unusual.
        lane.ask(at(20_000), AskId(2), Purpose::Sync, Waiter::Table);
        assert_eq!(lane.wake(), Some(20_000 + 9_800));
        assert!(!lane.falls_silent(at(29_799)) && !lane.is_silent());
        assert!(lane.falls_silent(at(29_800)) && lane.is_silent());
        // It is said once, and until something comes.
        assert!(!lane.falls_silent(at(29_900)) && lane.is_silent());
        assert_eq!(lane.wake(), Some(20_000 + Purpose::Sync.deadline_ms()));
        // Of another answer.
        assert!(!lane.heard(at(29_950)) && lane.is_silent());
        lane.answers(AskId(2));
        assert!(lane.heard(at(30_000)) && !lane.is_silent() && !lane.heard(at(30_001)));
        let asked = lane.done(AskId(2)).unwrap();
        lane.answered(at(30_001), &asked, true);
        // It was silent for 10 s, and no pause is waited for as long as it likes.
        lane.ask(at(40_000), AskId(3), Purpose::Sync, Waiter::Table);
        assert!(!lane.falls_silent(at(40_000 + MAX_SILENT_MS - 1)));
        assert!(lane.falls_silent(at(40_000 + MAX_SILENT_MS)));
        lane.helper_ended();
        assert!(!lane.is_silent());
        // What failed tells nothing of what is usual; a quick answer does.
        answer(&mut lane, 60_000, &[60_001]);
        lane.ask(at(70_000), AskId(4), Purpose::Sync, Waiter::Table);
        assert!(lane.falls_silent(at(70_000 + SILENT_MS)));
    }
}
