//! `sg-ctl prefix-list`.

use std::path::PathBuf;

use clap::ArgGroup;
use ipnet::IpNet;
use serde::Serialize;

use super::context::{Context, Reply};
use super::files::load_entries;
use super::listing::{Listing, Style, count};
use super::table::{Column, pairs, table};
use super::write::{Done, Edit, Verb, Write};
use crate::policy::check::{Subject, unknown};
use crate::policy::cidr;
use crate::policy::edit::{self, EditError};
use crate::policy::identity::PrefixListId;
use crate::policy::merge::{Referrer, prefix_list_referrers};
use crate::policy::model::{Name, Policy, PrefixList, RuleId};

/// Create, fill, delete and show prefix lists
///
/// A prefix list is a named set of networks and addresses that rules name as their peer.
#[derive(clap::Subcommand, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl prefix-list create office
  sg-ctl prefix-list add office 203.0.113.0/24")]
pub(crate) enum Command {
    Create(Write<Create>),
    Delete(Write<Delete>),
    List(List),
    Show(Show),
    Add(Write<Add>),
    Remove(Write<Remove>),
    Set(Write<Set>),
}

/// Create a prefix list
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl prefix-list create office --description \"Office networks\"
  sg-ctl prefix-list create blocklist --file blocklist.txt")]
pub(crate) struct Create {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Name,

    /// For people
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,

    #[command(flatten)]
    entries: Entries,
}

/// Delete a prefix list
///
/// Refused while a rule names it or it is blocked; each is listed.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl prefix-list delete office")]
pub(crate) struct Delete {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Name,
}

/// List all prefix lists
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl prefix-list list")]
pub(crate) struct List {}

/// Show a prefix list: its entries, and the rules that name it
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl prefix-list show office")]
pub(crate) struct Show {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Name,
}

/// Where entries come from.
#[derive(clap::Args, Clone, Debug)]
struct Entries {
    /// Entries
    #[arg(value_name = "CIDR", value_parser = cidr::parse)]
    entries: Vec<IpNet>,

    /// A file of entries, one a line, # and ; begin a comment; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Entries {
    fn are_given(&self) -> bool {
        self.file.is_some() || !self.entries.is_empty()
    }

    /// All of them; a note says how many of the file are there twice.
    fn gather(&self, context: &Context) -> anyhow::Result<Vec<IpNet>> {
        let mut all = self.entries.clone();
        if let Some(path) = &self.file {
            all.append(&mut load_entries(context, path)?);
        }
        Ok(all)
    }
}

/// Add entries to a prefix list
///
/// Entries that it has already are not stored again. Where a line of the file is wrong, nothing is
/// added.
#[derive(clap::Args, Clone, Debug)]
#[command(
    group(ArgGroup::new("what").required(true).multiple(true).args(["entries", "file"])),
    after_help = "Examples:
  sg-ctl prefix-list add office 203.0.113.0/24 2001:db8:10::/48
  sg-ctl prefix-list add blocklist --file blocklist.txt"
)]
pub(crate) struct Add {
    /// The list
    #[arg(value_name = "NAME")]
    name: Name,

    #[command(flatten)]
    entries: Entries,
}

/// Remove entries from a prefix list
///
/// All of them or, where it does not have one, none.
#[derive(clap::Args, Clone, Debug)]
#[command(
    group(ArgGroup::new("what").required(true).multiple(true).args(["entries", "file"])),
    after_help = "Examples:
  sg-ctl prefix-list remove office 203.0.113.0/24"
)]
pub(crate) struct Remove {
    /// The list
    #[arg(value_name = "NAME")]
    name: Name,

    #[command(flatten)]
    entries: Entries,
}

/// Replace all entries of a prefix list at once, or its description
#[derive(clap::Args, Clone, Debug)]
#[command(
    group(ArgGroup::new("what").required(true).multiple(true)
        .args(["entries", "file", "empty", "description"])),
    after_help = "Examples:
  sg-ctl prefix-list set blocklist --file blocklist.txt
  sg-ctl prefix-list set office --empty"
)]
pub(crate) struct Set {
    /// The list
    #[arg(value_name = "NAME")]
    name: Name,

    #[command(flatten)]
    entries: Entries,

    /// No entries at all
    #[arg(long, conflicts_with_all = ["entries", "file"])]
    empty: bool,

    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

pub(crate) fn run(context: &Context, command: Command) -> anyhow::Result<Reply> {
    match command {
        Command::Create(write) => write.run(context),
        Command::Delete(write) => write.run(context),
        Command::Add(write) => write.run(context),
        Command::Remove(write) => write.run(context),
        Command::Set(write) => write.run(context),
        Command::List(_) => {
            let view = context.host()?.view()?;
            let lists = view.policy.prefix_lists.iter().map(|(n, l)| row(&view.policy, n, l));
            context.reply(&Lists { generation: view.generation, prefix_lists: lists.collect() })
        }
        Command::Show(Show { name }) => {
            let view = context.host()?.view()?;
            let Some(list) = view.policy.prefix_lists.get(&name) else {
                let known = view.policy.prefix_lists.keys();
                let finding = unknown("prefix list", &name, Subject::Policy, known);
                return Err(EditError::from(finding).into());
            };
            context.reply(&details(view.generation, &view.policy, &name, list))
        }
    }
}

impl Verb for Create {
    const NAME: &'static str = "prefix-list create";

    fn prepare(&self, context: &Context) -> anyhow::Result<Edit<'_>> {
        let entries = self.entries.gather(context)?;
        Ok(Box::new(move |policy| {
            edit::create_prefix_list(policy, &self.name, &self.description, entries.clone())?;
            Ok(done(policy, &self.name, "created"))
        }))
    }
}

impl Verb for Delete {
    const NAME: &'static str = "prefix-list delete";

    fn prepare(&self, _: &Context) -> anyhow::Result<Edit<'_>> {
        Ok(Box::new(|policy| {
            edit::delete_prefix_list(policy, &self.name)?;
            Ok(done(policy, &self.name, "deleted"))
        }))
    }
}

impl Verb for Add {
    const NAME: &'static str = "prefix-list add";

    fn prepare(&self, context: &Context) -> anyhow::Result<Edit<'_>> {
        let entries = self.entries.gather(context)?;
        Ok(Box::new(move |policy| {
            let added = edit::add_entries(policy, &self.name, entries.clone())?;
            Ok(done(policy, &self.name, &format!("has {added} more")).with("added", added))
        }))
    }
}

impl Verb for Remove {
    const NAME: &'static str = "prefix-list remove";

    fn prepare(&self, context: &Context) -> anyhow::Result<Edit<'_>> {
        let entries = self.entries.gather(context)?;
        Ok(Box::new(move |policy| {
            let removed = edit::remove_entries(policy, &self.name, &entries)?;
            Ok(done(policy, &self.name, &format!("has {removed} less")).with("removed", removed))
        }))
    }
}

impl Verb for Set {
    const NAME: &'static str = "prefix-list set";

    fn prepare(&self, context: &Context) -> anyhow::Result<Edit<'_>> {
        let entries = self.entries.gather(context)?;
        let replaces = self.empty || self.entries.are_given();
        Ok(Box::new(move |policy| {
            if let Some(description) = &self.description {
                edit::describe_prefix_list(policy, &self.name, description)?;
            }
            if replaces {
                edit::set_entries(policy, &self.name, entries.clone())?;
            }
            Ok(done(policy, &self.name, "set"))
        }))
    }
}

fn done(policy: &Policy, name: &Name, what: &str) -> Done {
    let entries = policy.prefix_lists.get(name).map_or(0, |list| list.entries.len());
    let now = count(entries, "entry", "entries");
    Done::said(format!("prefix list {name} {what}, now {now}"))
        .with("id", PrefixListId::of(name).to_string())
        .with("name", name.as_str())
        .with("entries", entries)
}

/// A prefix list in listings.
#[derive(Debug, Serialize)]
struct Row {
    name: Name,
    id: PrefixListId,
    description: String,
    entry_count: usize,
    rules: Vec<RuleId>,
    blocked: bool,
}

fn row(policy: &Policy, name: &Name, list: &PrefixList) -> Row {
    let rules = prefix_list_referrers(policy, name).into_iter().filter_map(|user| match user {
        Referrer::Rule { id, .. } => Some(id),
        Referrer::Interface(_) | Referrer::Block => None,
    });
    Row {
        name: name.clone(),
        id: PrefixListId::of(name),
        description: list.description.clone(),
        entry_count: list.entries.len(),
        rules: rules.collect(),
        blocked: policy.blocks.lists.contains(name),
    }
}

#[derive(Debug, Serialize)]
struct Lists {
    generation: u64,
    prefix_lists: Vec<Row>,
}

impl Listing for Lists {
    fn text(&self, style: &Style) -> String {
        const COLUMNS: [Column; 5] = [
            Column::Text("NAME"),
            Column::Text("ID"),
            Column::Number("ENTRIES"),
            Column::Number("RULES"),
            Column::Text("DESCRIPTION"),
        ];
        table(
            style,
            &COLUMNS,
            self.prefix_lists.iter().map(|list| {
                vec![
                    list.name.to_string(),
                    list.id.to_string(),
                    list.entry_count.to_string(),
                    list.rules.len().to_string(),
                    list.description.clone(),
                ]
            }),
        )
    }
}

#[derive(Debug, Serialize)]
struct Details {
    generation: u64,
    #[serde(flatten)]
    list: Row,
    entries: Vec<String>,
}

fn details(generation: u64, policy: &Policy, name: &Name, list: &PrefixList) -> Details {
    let entries = list.entries.iter().map(ToString::to_string).collect();
    Details { generation, list: row(policy, name, list), entries }
}

impl Listing for Details {
    fn text(&self, _: &Style) -> String {
        let rules: Vec<String> = self.list.rules.iter().map(ToString::to_string).collect();
        let mut out = pairs(&[
            ("prefix list", self.list.name.to_string()),
            ("id", self.list.id.to_string()),
            ("description", self.list.description.clone()),
            ("rules", if rules.is_empty() { "-".to_owned() } else { rules.join(", ") }),
            ("blocked", if self.list.blocked { "yes" } else { "no" }.to_owned()),
            ("entries", self.entries.len().to_string()),
        ]);
        out.push('\n');
        for entry in &self.entries {
            out.push_str(entry);
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{golden, view};

    #[test]
    fn prefix_lists_are_listed_and_shown() {
        let policy = view().policy;
        let lists = policy.prefix_lists.iter().map(|(n, l)| row(&policy, n, l)).collect();
        golden("prefix_list_list", &Lists { generation: 4, prefix_lists: lists });
        golden("prefix_list_list_empty", &Lists { generation: 0, prefix_lists: Vec::new() });
        let name: Name = "office".parse().unwrap();
        golden("prefix_list_show", &details(4, &policy, &name, &policy.prefix_lists[&name]));
    }
}
