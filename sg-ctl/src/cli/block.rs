//! `sg-ctl block` and `sg-ctl unblock`.

use std::path::PathBuf;

use clap::ArgGroup;
use ipnet::IpNet;
use serde::Serialize;

use super::block_view::{BlockView, blocks_table};
use super::context::{Context, Reply};
use super::files::load_entries;
use super::listing::{Listing, Style, count};
use super::report::wrong_usage;
use super::write::{Done, Edit, Verb, Write};
use crate::host::Blocked;
use crate::policy::cidr;
use crate::policy::edit::{self, BlockCount};
use crate::policy::model::{Name, Policy};
use crate::policy::text::Malformed;

/// Block addresses and prefix lists on every interface, or list what is blocked
///
/// Nothing comes from a blocked address and nothing goes to it, on any interface, whatever the rules
/// say: connections that are open end at once. Only what networks need to work still passes (ARP,
/// neighbour discovery, DHCP and the like). A prefix list is blocked with the entries that it has
/// at the time. Blocks belong to the host and not to its policy files: `apply` and `export` leave
/// them as they are. By itself the command lists what is blocked and what that dropped.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl block 203.0.113.7 2001:db8:bad::/48
  sg-ctl block blocklist                             a prefix list, as it changes
  sg-ctl block --file attackers.txt
  sg-ctl block                                       what is blocked, and how much that dropped")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// End blocks
///
/// All that are named or, where one of them is not blocked, none. From the next packet on the rules
/// decide again.
#[derive(clap::Args, Clone, Debug)]
#[command(
    group(ArgGroup::new("what").required(true).multiple(true)
        .args(["targets", "prefix_lists", "file", "all"])),
    after_help = "Examples:
  sg-ctl unblock 203.0.113.7
  sg-ctl unblock blocklist
  sg-ctl unblock --all"
)]
pub(crate) struct Unblock {
    #[command(flatten)]
    targets: Targets,

    /// Everything that is blocked
    #[arg(long, conflicts_with_all = ["targets", "prefix_lists", "file"])]
    all: bool,
}

// No comment on the struct: it would become the help of the commands that it is part of.
#[derive(clap::Args, Clone, Debug)]
struct Targets {
    /// Addresses, networks and names of prefix lists
    #[arg(value_name = "ADDR|LIST", value_parser = target)]
    targets: Vec<Target>,

    /// A prefix list, also one whose name reads as an address; may be repeated
    #[arg(long = "prefix-list", value_name = "LIST", value_delimiter = ',')]
    prefix_lists: Vec<Name>,

    /// A file of addresses and networks, one a line, # and ; begin a comment; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// One word of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Net(IpNet),
    List(Name),
}

/// What looks like an address is one; anything else is the name of a prefix list.
fn target(text: &str) -> Result<Target, Malformed> {
    let dotted = text.contains('.') && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if dotted || text.contains(['/', ':']) {
        return cidr::parse(text).map(Target::Net);
    }
    text.parse().map(Target::List)
}

impl Targets {
    fn are_given(&self) -> bool {
        !self.targets.is_empty() || !self.prefix_lists.is_empty() || self.file.is_some()
    }

    /// Addresses, those of the file among them, and prefix lists.
    fn gather(&self, context: &Context) -> anyhow::Result<(Vec<IpNet>, Vec<Name>)> {
        let mut addresses = match &self.file {
            Some(path) => load_entries(context, path)?,
            None => Vec::new(),
        };
        let mut lists = self.prefix_lists.clone();
        for target in &self.targets {
            match target {
                Target::Net(net) => addresses.push(*net),
                Target::List(name) => lists.push(name.clone()),
            }
        }
        Ok((addresses, lists))
    }
}

impl Args {
    /// Whether it blocks something, and does not list what is blocked.
    pub(crate) fn writes(&self) -> bool {
        self.targets.are_given()
    }
}

impl Verb for Args {
    const NAME: &'static str = "block";

    fn prepare(&self, context: &Context) -> anyhow::Result<Edit<'_>> {
        let (addresses, lists) = self.targets.gather(context)?;
        Ok(Box::new(move |policy| {
            let BlockCount { addresses, prefix_lists } =
                edit::block(policy, addresses.clone(), &lists)?;
            Ok(done(policy, &format!("{} more blocked", addresses + prefix_lists))
                .with("added_addresses", addresses)
                .with("added_prefix_lists", prefix_lists))
        }))
    }
}

impl Verb for Unblock {
    const NAME: &'static str = "unblock";

    fn prepare(&self, context: &Context) -> anyhow::Result<Edit<'_>> {
        let (addresses, lists) = self.targets.gather(context)?;
        Ok(Box::new(move |policy| {
            let BlockCount { addresses, prefix_lists } = match self.all {
                true => edit::unblock_all(policy),
                false => edit::unblock(policy, &addresses, &lists)?,
            };
            Ok(done(policy, &format!("{} less blocked", addresses + prefix_lists))
                .with("removed_addresses", addresses)
                .with("removed_prefix_lists", prefix_lists))
        }))
    }
}

fn done(policy: &Policy, what: &str) -> Done {
    let (addresses, lists) = (policy.blocks.entries.len(), policy.blocks.lists.len());
    let text = format!(
        "{what}, now {} and {}",
        count(addresses, "address or network", "addresses and networks"),
        count(lists, "prefix list", "prefix lists"),
    );
    Done::said(text).with("addresses", addresses).with("prefix_lists", lists)
}

pub(crate) fn run(context: &Context, write: &Write<Args>) -> anyhow::Result<Reply> {
    if write.args.writes() {
        return write.run(context);
    }
    if let Some(option) = write.options.set().first() {
        return Err(wrong_usage(
            format!("{option} without anything to block"),
            "name an address or a prefix list; without any, the command only lists",
        ));
    }
    context.reply(&Blocks::from(context.host()?.blocked()?))
}

/// The answer of `block` without anything to block.
#[derive(Debug, Serialize)]
struct Blocks {
    generation: u64,
    blocks: Vec<BlockView>,
    /// Addresses and networks that are blocked by themselves.
    entries: Vec<String>,
}

impl From<Blocked> for Blocks {
    fn from(blocked: Blocked) -> Self {
        Self {
            generation: blocked.generation,
            blocks: blocked.blocks.into_iter().map(BlockView::from).collect(),
            entries: blocked.entries.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Listing for Blocks {
    fn text(&self, style: &Style) -> String {
        let mut out = blocks_table(style, &self.blocks);
        if !self.entries.is_empty() {
            out.push('\n');
        }
        for entry in &self.entries {
            out.push_str(entry);
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use sg_common::tables::{Counter, RuleCounter};
    use sg_common::verdict::Direction;

    use super::*;
    use crate::cli::testing::golden;
    use crate::host::BlockStats;
    use crate::policy::block::Block;

    #[test]
    fn what_looks_like_an_address_is_one() {
        let net = |text: &str| Ok(Target::Net(text.parse().unwrap()));
        let list = |text: &str| Ok(Target::List(text.parse().unwrap()));
        assert_eq!(target("203.0.113.7"), net("203.0.113.7/32"));
        assert_eq!(target("2001:db8::/32"), net("2001:db8::/32"));
        for name in ["office", "list", "2024", "a.b"] {
            assert_eq!(target(name), list(name));
        }
        for wrong in
            ["203.0.113.300", "203.0.113.7/24", "10.0.0.0/33", "1.2.3", "::x", "Office", ""]
        {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn blocks_are_listed_with_what_they_dropped() {
        let counter = |packets| RuleCounter {
            decided: Counter { packets, bytes: packets * 100 },
            would_deny: Counter { packets: packets / 10, bytes: packets * 10 },
        };
        let each = [(Block::Addresses, 2), (Block::List("office".parse().unwrap()), 100_000)];
        let blocks = each.into_iter().flat_map(|(block, entries)| {
            [Direction::Ingress, Direction::Egress].map(|direction| BlockStats {
                id: block.id(direction),
                block: block.clone(),
                entries,
                direction,
                counter: counter(if direction == Direction::Ingress { 1000 } else { 0 }),
            })
        });
        let entries = ["203.0.113.7/32", "2001:db8:bad::/48"].map(|net| net.parse().unwrap());
        let blocked = Blocked { generation: 7, blocks: blocks.collect(), entries: entries.into() };
        golden("block", &Blocks::from(blocked));
        let none = Blocked { generation: 0, blocks: Vec::new(), entries: Vec::new().into() };
        golden("block_empty", &Blocks::from(none));
    }
}
