//! `--COLUMN VALUE` for each column of a job that can be given: made from the one list of them.

use crate::core::columns::{Column, ColumnKind};
use crate::shell::cli::number::number;
use clap::{Arg, ArgGroup, ArgMatches, Args, Command, Error, FromArgMatches};
use serde_json::{Map, Value};

/// What is to stand in columns, by their names.
#[derive(Clone, Debug)]
pub struct Columns(pub Map<String, Value>);

/// Those that can be given: a job's own id and its group are not chosen.
fn given() -> impl Iterator<Item = Column> {
    let fixed = |column: &Column| matches!(column, Column::Id | Column::ServerId);
    Column::ALL.iter().copied().filter(move |column| !fixed(column))
}

fn is_number(column: Column) -> bool {
    matches!(column.kind(), ColumnKind::Number | ColumnKind::Reference)
}

fn help(column: Column) -> &'static str {
    match column {
        Column::Id | Column::ServerId => "",
        Column::Name => "Its name, for people",
        Column::Command => "What `/bin/sh -c` runs, with {NAME} placeholders",
        Column::Cron => "When: five fields, six with the seconds first, or a macro; in quotes",
        Column::Output => "File to which stdout is appended; empty = a file for each run",
        Column::Stderr => "File to which stderr is appended; empty = a file for each run",
        Column::MaxConcurrence => "How many runs may be alive at a time; 0 = never start",
        Column::TagId => "The id of its tag; 0 = none",
        Column::Timezone => "IANA zone of the schedule; empty = that of the daemon",
        Column::Description => "What it is for",
        Column::Owner => "Who answers for it: a person, or a team",
        Column::Link => "Where to read more",
        Column::PausedUntil => "Slots before this instant (RFC 3339) are skipped; empty = none",
    }
}

impl Args for Columns {
    fn augment_args(command: Command) -> Command {
        let arguments = given().map(|column| {
            let (name, hyphens) = (column.name(), column.name().replace('_', "-"));
            let argument = Arg::new(name).long(name).help(help(column)).help_heading("Columns");
            // The name has to live as long as the program; there are few.
            let argument = match hyphens == name {
                true => argument,
                false => argument.visible_alias(&*Box::leak(hyphens.into_boxed_str())),
            };
            match is_number(column) {
                true => argument.value_name("NUMBER").value_parser(number(0..=u32::MAX)),
                false => argument.value_name("TEXT").allow_hyphen_values(true),
            }
        });
        let names = given().map(Column::name);
        let group = ArgGroup::new("columns").args(names).multiple(true).required(true);
        command.args(arguments).group(group)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Columns::augment_args(command)
    }
}

impl FromArgMatches for Columns {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Columns, Error> {
        let value = |column: Column| match is_number(column) {
            true => matches.get_one::<u32>(column.name()).map(|number| Value::from(*number)),
            false => matches.get_one::<String>(column.name()).map(|text| Value::from(&**text)),
        };
        let pairs = given().filter_map(|it| Some((it.name().to_owned(), value(it)?)));
        Ok(Columns(pairs.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Columns::from_arg_matches(matches)?;
        Ok(())
    }
}
