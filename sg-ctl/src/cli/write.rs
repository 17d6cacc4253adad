//! What all writes have in common: their options, one change of the host, and the answer.

use serde::Serialize;
use serde_json::{Map, Value};

use super::context::{Context, Reply};
use super::listing::{Listing, Style};
use crate::host::{WriteOptions, Written};
use crate::policy::diff::{Change, Diff};
use crate::policy::model::Policy;

// A command that writes. As below, no documentation: the command's own is its help.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Write<T: clap::Args> {
    #[command(flatten)]
    pub(crate) args: T,
    #[command(flatten)]
    pub(crate) options: Options,
}

// No comment on the struct: it would become the help of every command that it is part of.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Refuse if the generation is not this one, because another change came first
    #[arg(long, value_name = "N", help_heading = HEADING)]
    if_generation: Option<u64>,

    /// Check everything and show what would change, but change nothing
    #[arg(long, help_heading = HEADING)]
    pub(crate) dry_run: bool,

    /// Go on where the change would cut your own SSH connection, or store and kernel do not agree
    #[arg(long, help_heading = HEADING)]
    force: bool,
}

const HEADING: &str = "Options of every write";

impl Options {
    /// As the host takes them.
    pub(crate) fn of_host(&self) -> WriteOptions {
        WriteOptions { if_generation: self.if_generation, dry_run: self.dry_run, force: self.force }
    }

    /// Names of those that are set.
    pub(crate) fn set(&self) -> Vec<&'static str> {
        let all = [
            (self.if_generation.is_some(), "--if-generation"),
            (self.dry_run, "--dry-run"),
            (self.force, "--force"),
        ];
        all.into_iter().filter_map(|(set, name)| set.then_some(name)).collect()
    }
}

/// What an edit did, for the answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// For people.
    pub(crate) text: String,
    /// The text is a result that scripts read (an id): nothing is put beside it.
    pub(crate) bare: bool,
    /// Fields of the JSON answer.
    pub(crate) fields: Map<String, Value>,
}

impl Done {
    /// Something for people alone.
    pub(crate) fn said(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// With a field of the JSON answer.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }
}

/// An edit of the policy, ready to be made.
pub(crate) type Edit<'a> = Box<dyn Fn(&mut Policy) -> anyhow::Result<Done> + 'a>;

/// A command that edits the policy, alone or as a line of a batch.
pub(crate) trait Verb {
    /// Its words, for the history and the answer.
    const NAME: &'static str;

    /// Reads what the command needs besides the policy (files), before the host is opened.
    fn prepare(&self, context: &Context) -> anyhow::Result<Edit<'_>>;
}

impl<T: clap::Args + Verb> Write<T> {
    /// Runs the command by itself.
    pub(crate) fn run(&self, context: &Context) -> anyhow::Result<Reply> {
        let edit = self.args.prepare(context)?;
        run(context, T::NAME, &self.options, &*edit)
    }
}

/// Makes an edit as one change of the host.
pub(crate) fn run(
    context: &Context,
    name: &'static str,
    options: &Options,
    edit: &dyn Fn(&mut Policy) -> anyhow::Result<Done>,
) -> anyhow::Result<Reply> {
    let mut done = Done::default();
    let mut changes = Vec::new();
    let mut host = context.host()?;
    let written = host.change(name, &options.of_host(), &mut |policy| {
        // Who reads JSON is told what changed; a table would only repeat the command.
        let before = (options.dry_run || context.json()).then(|| policy.clone());
        done = edit(policy)?;
        if let Some(before) = before {
            changes = Diff::between(&before, policy).changes;
        }
        Ok(())
    })?;
    answer(context, name, options, &written, done, changes)
}

/// Answers a write.
pub(crate) fn answer(
    context: &Context,
    name: &'static str,
    options: &Options,
    written: &Written,
    done: Done,
    changes: Vec<Change>,
) -> anyhow::Result<Reply> {
    context.warn(&written.warnings);
    if options.dry_run {
        context.note("a dry run: nothing changed");
    }
    let Done { text, bare, fields } = done;
    context.reply(&Answer {
        command: name,
        generation: written.generation,
        changed: written.changed,
        dry_run: options.dry_run,
        warnings: &written.warnings,
        changes,
        fields,
        text,
        bare,
    })
}

/// The answer of every write.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    command: &'static str,
    generation: u64,
    changed: bool,
    dry_run: bool,
    warnings: &'a [String],
    /// What changed, or would.
    changes: Vec<Change>,
    #[serde(flatten)]
    fields: Map<String, Value>,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    bare: bool,
}

impl Listing for Answer<'_> {
    fn text(&self, _: &Style) -> String {
        let generation = self.generation;
        if self.dry_run {
            let mut out: String = self.changes.iter().map(|change| format!("{change}\n")).collect();
            out.push_str(&match self.changed {
                true => format!("it would be generation {generation}\n"),
                false => format!("nothing would change; generation {generation}\n"),
            });
            return out;
        }
        match (self.bare, self.changed) {
            (true, _) => self.text.clone(),
            (false, true) => format!("{}; generation {generation}", self.text),
            (false, false) => format!("{}; nothing changed, generation {generation}", self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(changed: bool, changes: Option<Vec<Change>>, bare: bool) -> Answer<'static> {
        let dry_run = changes.is_some();
        Answer {
            command: "group create",
            generation: 7,
            changed,
            dry_run,
            warnings: &[],
            changes: changes.unwrap_or_default(),
            fields: Done::default().with("name", "web").fields,
            text: "group web created".into(),
            bare,
        }
    }

    #[test]
    fn an_answer_says_what_was_done_and_the_generation() {
        let text = |answer: Answer<'_>| answer.text(&Style::default());
        assert_eq!(text(sample(true, None, false)), "group web created; generation 7");
        assert!(text(sample(false, None, false)).contains("nothing changed"));
        assert_eq!(text(sample(true, None, true)), "group web created");
    }

    #[test]
    fn a_dry_run_lists_the_changes_and_says_that_it_was_one() {
        let name = "web".parse().unwrap();
        let changes = vec![Change::GroupAdded { name, members: Vec::new() }];
        let answer = sample(true, Some(changes), true);
        assert_eq!(answer.text(&Style::default()), "+ group web\nit would be generation 7\n");
    }

    #[test]
    fn the_fields_of_the_json_are_always_there() {
        let json = crate::cli::context::json(&sample(true, None, false)).unwrap();
        insta::assert_snapshot!(json, @r#"
        {
          "schema": 1,
          "command": "group create",
          "generation": 7,
          "changed": true,
          "dry_run": false,
          "warnings": [],
          "changes": [],
          "name": "web"
        }
        "#);
    }
}
