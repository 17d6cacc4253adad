//! `sg-ctl batch`.

use serde_json::Value;

use super::context::{Context, Reply};
use super::files::read_stdin;
use super::group;
use super::listing::count;
use super::prefix_list;
use super::report;
use super::rule;
use super::write::{self, Done, Edit, Options, Verb, Write};
use super::{Command, apply, attach, detach, update};
use crate::policy::edit::EditError;

/// Run commands from standard input, one a line, as one change
///
/// A line is a command that writes, without `sg-ctl`; words are quoted as in a shell, and `#` begins
/// a comment. Each line sees what those above it did. Where one is refused, its number is named and
/// nothing at all changes. Options of every write are given to `batch` itself.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl batch < commands.txt
  printf '%s\\n' 'group create web' 'rule add web ingress --cidr any' | sg-ctl batch --dry-run")]
pub(crate) struct Args {}

/// A line and the command that it is.
struct Line {
    number: usize,
    text: String,
    command: Command,
}

pub(crate) fn run(context: &Context, write: &Write<Args>) -> anyhow::Result<Reply> {
    let lines = parse(&read_stdin()?)?;
    let mut edits = Vec::with_capacity(lines.len());
    for line in &lines {
        let edit = prepare(context, &line.command).map_err(|error| at(line, error))?;
        edits.push((line, edit));
    }
    write::run(context, "batch", &write.options, &|policy| {
        let (mut texts, mut results) = (Vec::new(), Vec::new());
        for (line, (name, edit)) in &edits {
            let done = edit(policy).map_err(|error| at(line, error))?;
            let mut fields = done.fields;
            fields.insert("command".to_owned(), Value::from(*name));
            fields.insert("line".to_owned(), Value::from(line.number));
            results.push(Value::Object(fields));
            texts.push(done.text);
        }
        texts.push(count(edits.len(), "command", "commands"));
        Ok(Done::said(texts.join("\n")).with("results", results))
    })
}

fn at(line: &Line, error: anyhow::Error) -> anyhow::Error {
    error.context(format!("line {}: {}", line.number, line.text))
}

fn parse(input: &[u8]) -> anyhow::Result<Vec<Line>> {
    let text = std::str::from_utf8(input).map_err(|error| {
        let before = input.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        EditError::new(format!("line {line} is not UTF-8"), "write commands in plain text")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let number = index + 1;
        let Some(words) = shlex::split(text) else {
            let message = format!("line {number}: a quotation mark is not closed");
            return Err(EditError::new(message, "quote words as in a shell").into());
        };
        if !words.is_empty() {
            let command = command(number, &words)?;
            lines.push(Line { number, text: text.trim().to_owned(), command });
        }
    }
    Ok(lines)
}

fn command(number: usize, words: &[String]) -> Result<Command, EditError> {
    let refuse = |message: String, causes: Vec<String>, help: String| EditError {
        message: format!("line {number}: {message}"),
        causes,
        help,
    };
    let arguments: Vec<_> =
        std::iter::once("sg-ctl".into()).chain(words.iter().map(Into::into)).collect();
    let cli = super::parse(&arguments).map_err(|error| {
        use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
        if matches!(error.kind(), DisplayHelp | DisplayVersion) {
            let help = "ask for help outside of the batch".to_owned();
            return refuse("this is no command that writes".to_owned(), Vec::new(), help);
        }
        let failure = report::of_usage(&error, &arguments);
        refuse(failure.error, failure.causes, failure.help.unwrap_or_default())
    })?;
    let options = options(&cli.command).ok_or_else(|| {
        let help = "a batch takes apply, group, rule, prefix-list, block, unblock, attach, update and detach";
        refuse(format!("`{}` is no command for a batch", words[0]), Vec::new(), help.to_owned())
    })?;
    let global = cli.global.given();
    if let Some(option) = options.set().into_iter().chain(global).next() {
        let help = format!("say it to the batch: `sg-ctl batch {option}`");
        return Err(refuse(format!("{option} in a line of a batch"), Vec::new(), help));
    }
    if let Command::Apply(write) = &cli.command
        && write.args.reads_stdin()
    {
        let help = "name a file: standard input holds the batch itself";
        return Err(refuse("`apply -f -` in a batch".to_owned(), Vec::new(), help.to_owned()));
    }
    Ok(cli.command)
}

/// Options of a command that can stand in a batch.
fn options(command: &Command) -> Option<&Options> {
    use {group::Command as G, prefix_list::Command as P, rule::Command as R};
    Some(match command {
        Command::Apply(write) => &write.options,
        Command::Block(write) if write.args.writes() => &write.options,
        Command::Unblock(write) => &write.options,
        Command::Attach(write) => &write.options,
        Command::Update(write) => &write.options,
        Command::Detach(write) => &write.options,
        Command::Group(G::Create(write)) => &write.options,
        Command::Group(G::Update(write)) => &write.options,
        Command::Group(G::Delete(write)) => &write.options,
        Command::Rule(R::Add(write)) => &write.options,
        Command::Rule(R::Modify(write)) => &write.options,
        Command::Rule(R::Remove(write)) => &write.options,
        Command::PrefixList(P::Create(write)) => &write.options,
        Command::PrefixList(P::Delete(write)) => &write.options,
        Command::PrefixList(P::Add(write)) => &write.options,
        Command::PrefixList(P::Remove(write)) => &write.options,
        Command::PrefixList(P::Set(write)) => &write.options,
        _ => return None,
    })
}

fn prepare<'c>(
    context: &Context,
    command: &'c Command,
) -> anyhow::Result<(&'static str, Edit<'c>)> {
    fn of<'c, T: clap::Args + Verb>(
        context: &Context,
        write: &'c Write<T>,
    ) -> anyhow::Result<(&'static str, Edit<'c>)> {
        Ok((T::NAME, write.args.prepare(context)?))
    }
    use {group::Command as G, prefix_list::Command as P, rule::Command as R};
    match command {
        Command::Apply(write) => of::<apply::Args>(context, write),
        Command::Block(write) => of(context, write),
        Command::Unblock(write) => of(context, write),
        Command::Attach(write) => of::<attach::Args>(context, write),
        Command::Update(write) => of::<update::Args>(context, write),
        Command::Detach(write) => of::<detach::Args>(context, write),
        Command::Group(G::Create(write)) => of(context, write),
        Command::Group(G::Update(write)) => of(context, write),
        Command::Group(G::Delete(write)) => of(context, write),
        Command::Rule(R::Add(write)) => of(context, write),
        Command::Rule(R::Modify(write)) => of(context, write),
        Command::Rule(R::Remove(write)) => of(context, write),
        Command::PrefixList(P::Create(write)) => of(context, write),
        Command::PrefixList(P::Delete(write)) => of(context, write),
        Command::PrefixList(P::Add(write)) => of(context, write),
        Command::PrefixList(P::Remove(write)) => of(context, write),
        Command::PrefixList(P::Set(write)) => of(context, write),
        // `command` let none of these through.
        _ => Err(EditError::new("no command for a batch", "run it by itself").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(input: &str) -> EditError {
        match parse(input.as_bytes()) {
            Ok(lines) => panic!("{} lines were taken", lines.len()),
            Err(error) => error.downcast().unwrap(),
        }
    }

    #[test]
    fn lines_are_commands_with_comments_and_quotes() {
        let input = "# a comment\n\ngroup create web --description 'a b'  # another\n  \
                     rule add web ingress --cidr any\r\n";
        let lines = parse(input.as_bytes()).unwrap();
        let numbers: Vec<usize> = lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [3, 4]);
        assert!(matches!(lines[1].command, Command::Rule(rule::Command::Add(_))));
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number() {
        let error = refused("group create web\nrule add web ingress\n");
        assert!(error.message.starts_with("line 2: "), "{error}");
        assert!(error.causes.iter().any(|cause| cause.contains("--cidr")), "{error:?}");
        let error = refused("\n\ngroup create WEB\n");
        assert!(error.message.starts_with("line 3: invalid value 'WEB'"), "{error}");
        let error = refused("group create 'web\n");
        assert!(error.message.contains("quotation mark"), "{error}");
    }

    #[test]
    fn what_does_not_write_or_belongs_to_the_batch_is_refused() {
        for (line, word) in [
            ("status", "`status`"),
            ("rule list", "`rule`"),
            ("batch", "`batch`"),
            ("restore", "`restore`"),
            ("group create web --force", "--force"),
            ("group create web --dry-run", "--dry-run"),
            ("group create web --netns x", "--netns"),
            ("-o json group create web", "--output"),
            ("apply -f -", "apply -f -"),
            ("--help", "no command"),
        ] {
            let error = refused(line);
            assert!(error.message.contains(word), "{line}: {error}");
        }
    }
}
