//! `sg-ctl plan`.

use serde::Serialize;

use super::apply::merged;
use super::context::{Context, Reply};
use super::files::Files;
use super::listing::{Colour, Listing, Style};
use super::report::{self, Failure};
use crate::host::WriteOptions;
use crate::policy::diff::{Change, Diff};
use crate::policy::merge::{Kind, Unnamed, unnamed};
use crate::policy::model::Policy;
use crate::policy::seeding::unseeded;

/// Show what `apply` would do, and change nothing
///
/// One line for each difference in meaning: order, spelling and merged ranges do not count. What
/// `apply` would refuse is refused here as well, below the list.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl plan -f policy.toml
  sg-ctl plan -f policy.toml --exit-code             3 if anything would change")]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,

    /// As `apply --prune`: remove what the files do not name
    #[arg(long)]
    prune: bool,

    /// As `apply --force`: go on where your own SSH connection would be cut
    #[arg(long)]
    force: bool,

    /// End with 3 if anything would change
    #[arg(long)]
    exit_code: bool,
}

/// The answer of `plan`.
#[derive(Debug, Serialize)]
struct Plan {
    /// The generation that the plan starts from.
    generation: u64,
    changes: Vec<Change>,
    /// What the host has and the files do not name; `apply` refuses it without `--prune`.
    unnamed: Vec<Vanishing>,
    pruned: bool,
    /// Interfaces some of whose open connections the change may cut.
    unseeded: Vec<String>,
    warnings: Vec<String>,
    /// Why `apply` would refuse; `null` if it would not.
    refused: Option<Failure>,
}

#[derive(Debug, Serialize)]
struct Vanishing {
    kind: &'static str,
    name: String,
}

impl From<&Unnamed> for Vanishing {
    fn from(unnamed: &Unnamed) -> Self {
        let kind = match unnamed.kind {
            Kind::Group => "group",
            Kind::PrefixList => "prefix-list",
            Kind::Interface => "interface",
        };
        Self { kind, name: unnamed.name.to_string() }
    }
}

impl Listing for Plan {
    fn text(&self, style: &Style) -> String {
        if self.changes.is_empty() {
            return format!("nothing would change; generation {}\n", self.generation);
        }
        let mut out = String::new();
        for change in &self.changes {
            let line = change.to_string();
            out.push_str(&match change.sign() {
                '+' => style.paint(Colour::Green, &line),
                '-' => style.paint(Colour::Red, &line),
                _ => style.paint(Colour::Yellow, &line),
            });
            out.push('\n');
        }
        out
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Reply> {
    let wanted = args.files.load(context)?;
    let mut host = context.host()?;
    let view = host.view()?;
    // What is blocked stays so, whatever is applied.
    let wanted = Policy { blocks: view.policy.blocks.clone(), ..wanted };
    let changes = Diff::between(&view.policy, &wanted).changes;
    let vanishing = unnamed(&view.policy, &wanted);
    let unseeded = if changes.is_empty() { Vec::new() } else { unseeded(&view.policy, &wanted) };
    let options = WriteOptions { if_generation: None, dry_run: true, force: args.force };
    let tried = host.change("plan", &options, &mut |policy| {
        // What only lacks --prune is said beside the list; whatever else is wrong shall show too.
        *policy = merged(policy, wanted.clone(), true)?;
        Ok(())
    });
    let (warnings, refused) = match tried {
        Ok(written) => (written.warnings, None),
        Err(error) => (Vec::new(), Some(Failure::of(&error))),
    };
    if !args.prune {
        for thing in &vanishing {
            context.note(&format!("{thing}; `apply` removes it with --prune, else refuses"));
        }
    }
    for sentence in &unseeded {
        context.note(sentence);
    }
    context.warn(&warnings);
    if let Some(failure) = &refused {
        report::block(context.colours(), &failure.to_string());
    }
    let code = match (&refused, changes.is_empty()) {
        (Some(_), _) => 1,
        (None, false) if args.exit_code => 3,
        _ => 0,
    };
    let plan = Plan {
        generation: view.generation,
        changes,
        unnamed: vanishing.iter().map(Vanishing::from).collect(),
        pruned: args.prune,
        unseeded,
        warnings,
        refused,
    };
    Ok(Reply { code, ..context.reply(&plan)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{golden, view};
    use crate::policy::model::Policy;

    #[test]
    fn a_plan_is_a_list_of_differences() {
        let from = view().policy;
        let mut to = from.clone();
        to.groups.remove("admin");
        if let Some(list) = to.prefix_lists.get_mut("office") {
            list.description = "Offices".into();
        }
        if let Some(interface) = to.interfaces.get_mut("eth0") {
            interface.groups.retain(|group| group.as_str() != "admin");
        }
        golden(
            "plan",
            &Plan {
                generation: 4,
                changes: Diff::between(&from, &to).changes,
                unnamed: unnamed(&from, &to).iter().map(Vanishing::from).collect(),
                pruned: false,
                unseeded: unseeded(&from, &to),
                warnings: Vec::new(),
                refused: None,
            },
        );
    }

    #[test]
    fn a_plan_without_changes_says_so() {
        let plan = Plan {
            generation: 0,
            changes: Diff::between(&Policy::default(), &Policy::default()).changes,
            unnamed: Vec::new(),
            pruned: false,
            unseeded: Vec::new(),
            warnings: Vec::new(),
            refused: None,
        };
        golden("plan_empty", &plan);
    }
}
