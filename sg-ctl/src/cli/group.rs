//! `sg-ctl group`.

use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;

use super::context::{Context, Reply};
use super::listing::{Listing, Style};
use super::rule_view::RuleView;
use super::table::{Column, pairs, table};
use super::write::{Done, Edit, Verb, Write};
use crate::host::View;
use crate::policy::check::{Subject, unknown};
use crate::policy::cidr;
use crate::policy::edit::{self, EditError, GroupChange};
use crate::policy::identity::GroupId;
use crate::policy::model::Name;

/// Create, change, delete and show security groups
#[derive(clap::Subcommand, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl group create web --description \"Public web tier\"
  sg-ctl group show web")]
pub(crate) enum Command {
    Create(Write<Create>),
    Update(Write<Update>),
    Delete(Write<Delete>),
    List(List),
    Show(Show),
}

/// Create a group
///
/// It has no rule but the default one for egress: allow all, at the last priority.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl group create web --description \"Public web tier\"
  sg-ctl group create db --no-default-egress")]
pub(crate) struct Create {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Name,

    /// For people
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    description: String,

    /// An address or network that belongs to the group besides its interfaces; may be repeated
    #[arg(long = "member", value_name = "CIDR", value_parser = cidr::parse)]
    members: Vec<IpNet>,

    /// Allow no egress until a rule does
    #[arg(long)]
    no_default_egress: bool,

    /// Allow all egress by the default rule; this is the default
    #[arg(long, conflicts_with = "no_default_egress")]
    default_egress: bool,
}

/// Change a group's description, static members or default egress rule
///
/// What is not named stays. Rules are changed by `sg-ctl rule`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl group update web --description \"Web servers\"
  sg-ctl group update db --default-egress false --add-member 192.0.2.10")]
pub(crate) struct Update {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Name,

    #[command(flatten)]
    change: Change,
}

// No comment on the struct: it would become the help of the command that it is part of.
#[derive(clap::Args, Clone, Debug)]
#[group(required = true, multiple = true)]
struct Change {
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Whether the group has the default egress rule (allow all, priority 65535)
    #[arg(long, value_name = "true|false")]
    default_egress: Option<bool>,

    /// A static member that comes; may be repeated
    #[arg(long = "add-member", value_name = "CIDR", value_parser = cidr::parse)]
    add_members: Vec<IpNet>,

    /// A static member that goes; may be repeated
    #[arg(long = "remove-member", value_name = "CIDR", value_parser = cidr::parse)]
    remove_members: Vec<IpNet>,
}

/// Delete a group with its rules
///
/// Refused while an interface or a rule of another group names it; each is listed.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl group delete web")]
pub(crate) struct Delete {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Name,
}

/// List all groups
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl group list
  sg-ctl group list -o json")]
pub(crate) struct List {}

/// Show a group: its rules, members and interfaces
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl group show web")]
pub(crate) struct Show {
    /// Its name
    #[arg(value_name = "NAME")]
    name: Name,
}

pub(crate) fn run(context: &Context, command: Command) -> anyhow::Result<Reply> {
    match command {
        Command::Create(write) => write.run(context),
        Command::Update(write) => write.run(context),
        Command::Delete(write) => write.run(context),
        Command::List(_) => {
            let view = context.host()?.view()?;
            let groups = view.policy.groups.keys().filter_map(|name| row(&view, name)).collect();
            context.reply(&Groups { generation: view.generation, groups })
        }
        Command::Show(Show { name }) => {
            let view = context.host()?.view()?;
            let Some(row) = row(&view, &name) else {
                let known = view.policy.groups.keys();
                let finding = unknown("group", &name, Subject::Policy, known);
                return Err(EditError::from(finding).into());
            };
            let rules = view.policy.groups.get(&name).map(|group| RuleView::of_group(&name, group));
            context.reply(&Details {
                generation: view.generation,
                group: row,
                rules: rules.unwrap_or_default(),
            })
        }
    }
}

impl Verb for Create {
    const NAME: &'static str = "group create";

    fn prepare(&self, _: &Context) -> anyhow::Result<Edit<'_>> {
        Ok(Box::new(|policy| {
            let Self { name, description, members, no_default_egress, .. } = self;
            edit::create_group(policy, name, description, members, !no_default_egress)?;
            Ok(done(name, "created"))
        }))
    }
}

impl Verb for Update {
    const NAME: &'static str = "group update";

    fn prepare(&self, _: &Context) -> anyhow::Result<Edit<'_>> {
        let Change { description, default_egress, add_members, remove_members } =
            self.change.clone();
        let change = GroupChange { description, default_egress, add_members, remove_members };
        Ok(Box::new(move |policy| {
            edit::update_group(policy, &self.name, &change)?;
            Ok(done(&self.name, "updated"))
        }))
    }
}

impl Verb for Delete {
    const NAME: &'static str = "group delete";

    fn prepare(&self, _: &Context) -> anyhow::Result<Edit<'_>> {
        Ok(Box::new(|policy| {
            edit::delete_group(policy, &self.name)?;
            Ok(done(&self.name, "deleted"))
        }))
    }
}

fn done(name: &Name, what: &str) -> Done {
    Done::said(format!("group {name} {what}"))
        .with("id", GroupId::of(name).to_string())
        .with("name", name.as_str())
}

/// A group in listings.
#[derive(Debug, Serialize)]
struct Row {
    name: Name,
    id: GroupId,
    description: String,
    default_egress: bool,
    ingress_rules: usize,
    egress_rules: usize,
    static_members: Vec<String>,
    /// As rules that name the group as their peer see it.
    members: Vec<String>,
    interfaces: Vec<Arc<str>>,
}

fn row(view: &View, name: &Name) -> Option<Row> {
    let group = view.policy.groups.get(name)?;
    let texts = |nets: &[IpNet]| nets.iter().map(ToString::to_string).collect::<Vec<_>>();
    let interfaces = view.policy.interfaces.iter();
    Some(Row {
        name: name.clone(),
        id: GroupId::of(name),
        description: group.description.clone(),
        default_egress: group.has_default_egress(),
        ingress_rules: group.ingress.len(),
        egress_rules: group.egress.len(),
        static_members: texts(&group.members),
        members: view.members.get(name).map(|members| texts(members)).unwrap_or_default(),
        interfaces: interfaces
            .filter(|(_, interface)| interface.groups.contains(name))
            .map(|(name, _)| name.clone())
            .collect(),
    })
}

#[derive(Debug, Serialize)]
struct Groups {
    generation: u64,
    groups: Vec<Row>,
}

impl Listing for Groups {
    fn text(&self, style: &Style) -> String {
        const COLUMNS: [Column; 7] = [
            Column::Text("NAME"),
            Column::Text("ID"),
            Column::Number("INGRESS"),
            Column::Number("EGRESS"),
            Column::Number("MEMBERS"),
            Column::Text("INTERFACES"),
            Column::Text("DESCRIPTION"),
        ];
        table(
            style,
            &COLUMNS,
            self.groups.iter().map(|group| {
                vec![
                    group.name.to_string(),
                    group.id.to_string(),
                    group.ingress_rules.to_string(),
                    group.egress_rules.to_string(),
                    group.members.len().to_string(),
                    group.interfaces.join(","),
                    group.description.clone(),
                ]
            }),
        )
    }
}

#[derive(Debug, Serialize)]
struct Details {
    generation: u64,
    #[serde(flatten)]
    group: Row,
    rules: Vec<RuleView>,
}

impl Listing for Details {
    fn text(&self, style: &Style) -> String {
        let list = |items: &[String]| match items.is_empty() {
            true => "-".to_owned(),
            false => items.join(", "),
        };
        let interfaces: Vec<String> =
            self.group.interfaces.iter().map(ToString::to_string).collect();
        let mut out = pairs(&[
            ("group", self.group.name.to_string()),
            ("id", self.group.id.to_string()),
            ("description", self.group.description.clone()),
            ("default egress", self.group.default_egress.to_string()),
            ("static members", list(&self.group.static_members)),
            ("members", list(&self.group.members)),
            ("interfaces", list(&interfaces)),
        ]);
        out.push('\n');
        out.push_str(&super::rule::rules_table(style, &self.rules));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{golden, view};

    #[test]
    fn groups_are_listed() {
        let view = view();
        let groups = view.policy.groups.keys().filter_map(|name| row(&view, name)).collect();
        golden("group_list", &Groups { generation: 4, groups });
        golden("group_list_empty", &Groups { generation: 0, groups: Vec::new() });
    }

    #[test]
    fn a_group_is_shown_with_its_rules() {
        let view = view();
        let name: Name = "web".parse().unwrap();
        let rules = RuleView::of_group(&name, &view.policy.groups[&name]);
        golden("group_show", &Details { generation: 4, group: row(&view, &name).unwrap(), rules });
    }
}
