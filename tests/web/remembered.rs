//! What the database of a bench remembers of what the daemon has recorded, and a daemon that begins
//! where another one has ended; and how runs end.

use super::{Bench, past};
use schedule::core::cron::zone;
use schedule::core::daemon::Core;
use schedule::core::event::{Ended, Event};
use schedule::core::ids::RunId;
use schedule::core::outcome::{Exit, Outcome};
use schedule::core::protocol::{
    ActsAsk, Answer, Record, RunRecord, RunsAsk, RunsEnd, SkipRecord, WhyAsk,
};
use schedule::core::records::{news, record};
use schedule::core::replay::Replay;
use schedule::core::run_kind::RunKind;
use schedule::core::scheduler::{Loaded, Settings};
use schedule::core::time::Now;

impl Bench {
    /// The daemon is gone, and another one begins at this time: it knows what the journal says and
    /// the snapshot of the table. The database has all that was recorded.
    pub fn begins_again(&mut self, now: Now, settings: Settings) {
        self.carry_all();
        let mut replay = Replay::default();
        replay.log(0, &self.log);
        let end = self.log.len() as u64;
        self.now = now;
        self.clients.clear();
        self.core = Core::new(now, settings, replay, end, Vec::new());
        self.core.web.listens_on(vec!["127.0.0.1".to_owned()], true);
        let lines: Vec<Vec<u8>> =
            self.table.iter().map(|line| serde_json::to_vec(line).unwrap()).collect();
        let loaded = self.core.scheduler.load_snapshot(lines.iter().map(Vec::as_slice));
        assert_eq!(loaded, Loaded::InForce);
        self.turn();
    }

    /// All records of the journal are in the database.
    pub fn carry_all(&mut self) {
        let zone = zone("Asia/Shanghai").unwrap();
        (self.past, self.skips, self.acts) = Default::default();
        for entry in news(&self.log) {
            match record(&entry, 1, &zone) {
                Some(Record::Run(run)) => self.past.push(*run),
                Some(Record::Skip(skip)) => self.skips.push(*skip),
                Some(Record::Act(act)) => self.acts.push(*act),
                None => {}
            }
        }
    }

    /// What tells why, as the helper puts it together.
    pub fn why_answers(&self, ask: &WhyAsk) -> Vec<Answer> {
        let mut all = past::act_answers(&self.acts, &ask.changes);
        all.extend(past::act_answers(&self.acts, &ask.pauses));
        // To look at those of all jobs each time takes long.
        let is_its = |row: &&RunRecord| ask.near.jobs.iter().flatten().any(|it| *it == row.job_id);
        let rows: Vec<RunRecord> = self.past.iter().filter(is_its).cloned().collect();
        all.extend(past::answers(&rows, &ask.near));
        all.extend(self.skips_and_runs(&rows, &ask.skips));
        let good = past::answers(&rows, &ask.good);
        all.extend(good.clone());
        let [Answer::Run(good), _] = &good[..] else { return all };
        let (kinds, since) = (RunKind::FAILED.to_vec(), good.start_time.clone());
        let until = String::new();
        let bad = RunsAsk { kinds, since, until, oldest: true, ..ask.good.clone() };
        all.extend(past::answers(&rows, &bad));
        let run: RunId = good.uniq_id.parse().unwrap();
        let from = RunId { instance: 1, ..run }.to_string();
        all.extend(past::act_answers(&self.acts, &ActsAsk { from, ..ask.words.clone() }));
        all
    }

    fn skips_and_runs(&self, rows: &[RunRecord], ask: &RunsAsk) -> Vec<Answer> {
        let mut runs = past::answers(rows, ask);
        let Some(Answer::Runs(end)) = runs.pop() else { panic!("no end") };
        let local = |at: &str| at.replace(' ', "T");
        let down_to = end.down_to.as_ref().map_or(String::new(), |it| local(&it.at));
        let is_there = |skip: &&SkipRecord| {
            ask.jobs.as_ref().is_none_or(|jobs| jobs.contains(&skip.job_id))
                && skip.first_slot < local(&ask.until)
                && skip.first_slot >= down_to
        };
        let skips = self.skips.iter().filter(is_there);
        runs.extend(skips.map(|skip| Answer::Skipped(Box::new(skip.clone()))));
        let rows = runs.len();
        runs.push(Answer::Runs(RunsEnd { rows, ..end }));
        runs
    }

    /// All runs end with this status.
    pub fn end_all(&mut self, code: u8) {
        self.end_all_as(&Outcome::Ended(Exit::Code(code)));
    }

    /// All runs end like this.
    pub fn end_all_as(&mut self, outcome: &Outcome) {
        let runs: Vec<RunId> = self.core.scheduler.runs().keys().copied().collect();
        for run in runs {
            let ended = Ended::unseen(run, self.now, outcome.clone());
            self.core.handle(self.now, Event::Ended(Box::new(ended)));
        }
        self.turn();
    }
}
