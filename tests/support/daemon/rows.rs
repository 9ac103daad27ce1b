//! Rows of `scheduler_jobs` whose due instants a test can work out by itself.

/// When a row is due. The expression is made from this and not the other way round, so that the
/// program's reading of expressions is no part of what it is judged by.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// Each so many seconds, counted from the minute's beginning. Divides 60.
    Step(i64),
    /// The same from another second on: (first, step).
    From(i64, i64),
    /// At one second of every minute, in a seconds field.
    At(i64),
    /// At the beginning of every minute, in five fields.
    Minute,
    /// Not at all, with this expression.
    Never(&'static str),
}

impl Due {
    fn cron(&self) -> String {
        match self {
            Due::Step(1) => "* * * * * *".to_owned(),
            Due::Step(step) => format!("*/{step} * * * * *"),
            Due::From(first, step) => format!("{first}/{step} * * * * *"),
            Due::At(second) => format!("{second} * * * * *"),
            Due::Minute => "* * * * *".to_owned(),
            Due::Never(text) => (*text).to_owned(),
        }
    }

    /// Whether this second (unix) is due. All zones in use are whole minutes from UTC.
    pub fn is(&self, second: i64) -> bool {
        let second = second.rem_euclid(60);
        match self {
            Due::Step(step) => second % step == 0,
            Due::From(first, step) => second >= *first && (second - first) % step == 0,
            Due::At(at) => second == *at,
            Due::Minute => second == 0,
            Due::Never(_) => false,
        }
    }
}

/// A row and what its runs have to come to.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: u32,
    pub due: Due,
    pub name: String,
    pub command: String,
    pub limit: u32,
    pub output: String,
    pub stderr: String,
    pub tag: u32,
    /// The beginning of the outcome of each run.
    pub outcome: &'static str,
    /// Whether each run that is launched leaves a stamp.
    pub stamped: bool,
}

impl Row {
    pub fn new(id: u32, due: Due, command: &str) -> Self {
        let name = format!("job {id}");
        let (output, stderr) = (String::new(), String::new());
        let command = command.to_owned();
        Self {
            id,
            due,
            name,
            command,
            limit: 1,
            output,
            stderr,
            tag: 0,
            outcome: "exit 0",
            stamped: false,
        }
    }

    /// A row that leaves a stamp in `file` at once and then goes on with `rest`, which may be
    /// empty. A stamp is one write to a file that is open for append: it can't be torn.
    pub fn stamping(id: u32, due: Due, file: &str, rest: &str) -> Self {
        let words = "$SCHEDULE_JOB_ID $SCHEDULE_SLOT $SCHEDULE_RUN_ID $$ %s%N";
        let rest = if rest.is_empty() { String::new() } else { format!("; {rest}") };
        let command = format!("date \"+{words}\" >>'{file}'{rest}");
        Self { stamped: true, ..Self::new(id, due, &command) }
    }

    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    #[must_use]
    pub fn output(mut self, path: &str) -> Self {
        path.clone_into(&mut self.output);
        self
    }

    #[must_use]
    pub fn tag(mut self, tag: u32) -> Self {
        self.tag = tag;
        self
    }

    /// What its runs come to, where that is not `exit 0`.
    #[must_use]
    pub fn ends(mut self, outcome: &'static str) -> Self {
        self.outcome = outcome;
        self
    }

    /// The row as SQL for both drivers.
    pub fn insert(&self) -> String {
        let Self { id, limit, tag, .. } = self;
        let [name, command, cron, output, stderr] =
            [&self.name, &self.command, &self.due.cron(), &self.output, &self.stderr]
                .map(|text| text.replace('\'', "''"));
        format!(
            "INSERT INTO scheduler_jobs \
             (id, name, command, cron, output, stderr, max_concurrence, status, server_id, tag_id) \
             VALUES ({id}, '{name}', '{command}', '{cron}', '{output}', '{stderr}', {limit}, 1, 1, \
             {tag});"
        )
    }
}

/// All of them in one go.
pub fn insert(rows: &[Row]) -> String {
    rows.iter().map(Row::insert).collect::<Vec<_>>().join("\n")
}
