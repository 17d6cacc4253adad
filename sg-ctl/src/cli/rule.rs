//! `sg-ctl rule`.

use clap::{ArgGroup, ValueEnum};
use serde::Serialize;

use super::context::{Context, Reply};
use super::listing::{Listing, Style};
use super::rule_view::RuleView;
use super::table::{Column, table};
use super::words::{self, Peer};
use super::write::{Done, Edit, Verb, Write};
use crate::policy::check::{Subject, unknown};
use crate::policy::edit::{self, Clear, EditError, RuleChange};
use crate::policy::model::{Action, Direction, Name, PortRange, Protocol, Rule, RuleId};

/// Add, change, remove and list rules
///
/// A rule's id comes from what it says, so it is the same on every host.
#[derive(clap::Subcommand, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl rule add web ingress --protocol tcp --port 443 --cidr any
  sg-ctl rule list web")]
pub(crate) enum Command {
    Add(Write<Add>),
    Modify(Write<Modify>),
    Remove(Write<Remove>),
    List(List),
}

/// Add a rule to a group; prints its id
///
/// It acts on the next packet of every interface that has the group. The lowest priority number
/// decides; at the same one a deny beats an allow.
#[derive(clap::Args, Clone, Debug)]
#[command(
    group(ArgGroup::new("peer").required(true).multiple(true)
        .args(["cidrs", "source_groups", "prefix_lists"])),
    after_help = "Examples:
  sg-ctl rule add web ingress --protocol tcp --port 80,443 --cidr any
  sg-ctl rule add db ingress --protocol tcp --port 5432 --source-group web
  sg-ctl rule add web ingress --deny --priority 10 --prefix-list blocklist
  sg-ctl rule add web ingress --protocol icmp --icmp-type 8 --cidr 203.0.113.0/24"
)]
pub(crate) struct Add {
    /// The group
    #[arg(value_name = "GROUP")]
    group: Name,

    /// Of which packets: those that come in, or those that go out
    #[arg(value_parser = words::direction())]
    direction: Direction,

    #[command(flatten)]
    fields: Fields,

    /// Deny instead of allow
    #[arg(long)]
    deny: bool,
}

/// Change a rule in its place; prints its new id
///
/// What is not named stays. Counters start again, because the changed rule is another rule.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl rule modify sgr-0123456789abcdef0 --port 8443
  sg-ctl rule modify sgr-0123456789abcdef0 --clear port --protocol icmp
  sg-ctl rule modify sgr-0123456789abcdef0 --description \"HTTPS\"")]
pub(crate) struct Modify {
    /// The rule
    #[arg(value_name = "ID")]
    id: RuleId,

    #[command(flatten)]
    fields: Fields,

    /// Deny
    #[arg(long)]
    deny: bool,

    /// Allow
    #[arg(long, conflicts_with = "deny")]
    allow: bool,

    /// A part to take away first; may be repeated
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    clear: Vec<Part>,
}

// No comment on the struct: it would become the help of every command that it is part of.
#[derive(clap::Args, Clone, Debug)]
struct Fields {
    /// tcp, udp, sctp, icmp, icmpv6, all, or a number [default: all]
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<Protocol>,

    /// Destination ports: 443, 8000-8100, or several with commas [default: all]
    #[arg(long = "port", value_name = "PORT,…", value_delimiter = ',')]
    ports: Vec<PortRange>,

    /// A peer: a network, an address, or `any` for everybody; may be repeated
    #[arg(long = "cidr", value_name = "CIDR|any", value_delimiter = ',')]
    cidrs: Vec<Peer>,

    /// A peer: the members of a group; may be repeated
    #[arg(
        long = "source-group",
        visible_alias = "destination-group",
        value_name = "GROUP",
        value_delimiter = ','
    )]
    source_groups: Vec<Name>,

    /// A peer: the entries of a prefix list; may be repeated
    #[arg(long = "prefix-list", value_name = "LIST", value_delimiter = ',')]
    prefix_lists: Vec<Name>,

    /// ICMP type, of protocol icmp or icmpv6 [default: all]
    #[arg(long, value_name = "N", value_parser = words::icmp)]
    icmp_type: Option<u8>,

    /// ICMP code, beside a type [default: all]
    #[arg(long, value_name = "N", value_parser = words::icmp)]
    icmp_code: Option<u8>,

    /// The lowest number decides, 0 to 65535 [default: 1000]
    #[arg(long, value_name = "N", value_parser = words::priority)]
    priority: Option<u16>,

    /// For people; not part of the rule's identity
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// A part of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The ports: all match then.
    Port,
    /// ICMP type and code.
    IcmpType,
    /// ICMP code.
    IcmpCode,
    /// Peers by address.
    Cidr,
    /// Peers by prefix list.
    PrefixList,
    /// Peers by group.
    SourceGroup,
    /// The description.
    Description,
}

impl From<Part> for Clear {
    fn from(part: Part) -> Self {
        match part {
            Part::Port => Self::Port,
            Part::IcmpType => Self::IcmpType,
            Part::IcmpCode => Self::IcmpCode,
            Part::Cidr => Self::Cidr,
            Part::PrefixList => Self::PrefixList,
            Part::SourceGroup => Self::Group,
            Part::Description => Self::Description,
        }
    }
}

/// Remove rules by their ids
///
/// All of them or, where one does not exist, none.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl rule remove sgr-0123456789abcdef0")]
pub(crate) struct Remove {
    /// The rules
    #[arg(required = true, value_name = "ID")]
    ids: Vec<RuleId>,
}

/// List rules, in the order in which they were entered
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl rule list
  sg-ctl rule list web --direction ingress -o json")]
pub(crate) struct List {
    /// Of this group only
    #[arg(value_name = "GROUP")]
    group: Option<Name>,

    /// Of this direction only
    #[arg(long, value_parser = words::direction())]
    direction: Option<Direction>,
}

pub(crate) fn run(context: &Context, command: Command) -> anyhow::Result<Reply> {
    match command {
        Command::Add(write) => write.run(context),
        Command::Modify(write) => write.run(context),
        Command::Remove(write) => write.run(context),
        Command::List(args) => list(context, &args),
    }
}

fn list(context: &Context, args: &List) -> anyhow::Result<Reply> {
    let view = context.host()?.view()?;
    if let Some(name) = args.group.as_ref().filter(|name| !view.policy.groups.contains_key(*name)) {
        let finding = unknown("group", name, Subject::Policy, view.policy.groups.keys());
        return Err(EditError::from(finding).into());
    }
    let wanted = |rule: &RuleView| args.direction.is_none_or(|d| d.name() == rule.direction);
    let groups = view.policy.groups.iter();
    let rules = groups
        .filter(|(name, _)| args.group.as_ref().is_none_or(|group| group == *name))
        .flat_map(|(name, group)| RuleView::of_group(name, group))
        .filter(wanted)
        .collect();
    context.reply(&Rules { generation: view.generation, rules })
}

impl Verb for Add {
    const NAME: &'static str = "rule add";

    fn prepare(&self, _: &Context) -> anyhow::Result<Edit<'_>> {
        let fields = self.fields.clone();
        let alone = fields.source_groups.is_empty() && fields.prefix_lists.is_empty();
        let default = Rule::default();
        let rule = Rule {
            action: if self.deny { Action::Deny } else { Action::Allow },
            priority: fields.priority.unwrap_or(default.priority),
            protocol: fields.protocol.unwrap_or(default.protocol),
            ports: fields.ports,
            icmp_type: fields.icmp_type,
            icmp_code: fields.icmp_code,
            cidrs: words::cidrs(&fields.cidrs, alone),
            prefix_lists: fields.prefix_lists,
            groups: fields.source_groups,
            description: fields.description.unwrap_or_default(),
        };
        Ok(Box::new(move |policy| {
            let id = edit::add_rule(policy, &self.group, self.direction, rule.clone())?;
            Ok(with_id(id))
        }))
    }
}

impl Verb for Modify {
    const NAME: &'static str = "rule modify";

    fn prepare(&self, _: &Context) -> anyhow::Result<Edit<'_>> {
        let fields = self.fields.clone();
        let alone = fields.source_groups.is_empty() && fields.prefix_lists.is_empty();
        let change = RuleChange {
            clear: self.clear.iter().copied().map(Clear::from).collect(),
            action: match (self.deny, self.allow) {
                (true, _) => Some(Action::Deny),
                (_, true) => Some(Action::Allow),
                _ => None,
            },
            priority: fields.priority,
            protocol: fields.protocol,
            ports: fields.ports,
            icmp_type: fields.icmp_type,
            icmp_code: fields.icmp_code,
            anywhere: alone && fields.cidrs.contains(&Peer::Any),
            cidrs: words::cidrs(&fields.cidrs, alone),
            prefix_lists: fields.prefix_lists,
            groups: fields.source_groups,
            description: fields.description,
        };
        Ok(Box::new(move |policy| {
            let id = edit::modify_rule(policy, self.id, &change)?;
            Ok(with_id(id).with("former_id", self.id.to_string()))
        }))
    }
}

impl Verb for Remove {
    const NAME: &'static str = "rule remove";

    fn prepare(&self, _: &Context) -> anyhow::Result<Edit<'_>> {
        Ok(Box::new(|policy| {
            for id in &self.ids {
                edit::remove_rule(policy, *id)?;
            }
            let ids: Vec<String> = self.ids.iter().map(ToString::to_string).collect();
            Ok(Done::said(format!("removed {}", ids.join(", "))).with("ids", ids))
        }))
    }
}

fn with_id(id: RuleId) -> Done {
    Done { bare: true, ..Done::said(id.to_string()) }.with("id", id.to_string())
}

#[derive(Debug, Serialize)]
struct Rules {
    generation: u64,
    rules: Vec<RuleView>,
}

impl Listing for Rules {
    fn text(&self, style: &Style) -> String {
        rules_table(style, &self.rules)
    }
}

/// Rules as a table.
pub(crate) fn rules_table(style: &Style, rules: &[RuleView]) -> String {
    const COLUMNS: [Column; 5] = [
        Column::Text("ID"),
        Column::Text("GROUP"),
        Column::Text("DIRECTION"),
        Column::Text("RULE"),
        Column::Text("DESCRIPTION"),
    ];
    table(
        style,
        &COLUMNS,
        rules.iter().map(|rule| {
            vec![
                rule.id.to_string(),
                rule.group.as_ref().map(ToString::to_string).unwrap_or_default(),
                rule.direction.to_owned(),
                rule.line().to_owned(),
                rule.description.clone(),
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{golden, view};

    #[test]
    fn rules_are_listed_as_they_were_entered() {
        let view = view();
        let rules = view.policy.groups.iter().flat_map(|(n, g)| RuleView::of_group(n, g)).collect();
        golden("rule_list", &Rules { generation: 4, rules });
        golden("rule_list_empty", &Rules { generation: 0, rules: Vec::new() });
    }
}
