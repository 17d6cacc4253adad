//! `sg-ctl check`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;

use super::context::{Context, Reply};
use super::files::Files;
use super::listing::{Listing, Style, bytes, count};
use super::report;
use crate::compile::{self, CompileError};
use crate::policy::edit::find_rule;
use crate::policy::file::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::policy::model::{Name, Policy, RuleId};
use crate::policy::resolve::resolve;

/// Validate and compile policy files, without rights and without a host
///
/// Everything that can be wrong with the files themselves is found and shown with its line; that
/// interfaces exist is for `plan` to say.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:
  sg-ctl check -f policy.toml
  sg-ctl check -f - --format json < policy.json
  sg-ctl check -f policy.toml -o json | jq .diagnostics")]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
}

/// The answer of `check`.
#[derive(Debug, Default, Serialize)]
struct Checked {
    valid: bool,
    diagnostics: Vec<Diagnostic>,
    groups: usize,
    rules: usize,
    prefix_lists: usize,
    prefix_entries: usize,
    /// What was compiled: the policy of each interface, and groups that no interface has.
    policies: Vec<Compiled>,
}

#[derive(Debug, Serialize)]
struct Compiled {
    /// `null` for a group that no interface has.
    interface: Option<Arc<str>>,
    groups: Vec<Name>,
    rules: usize,
    image_bytes: usize,
}

impl Listing for Checked {
    fn text(&self, _: &Style) -> String {
        if !self.valid {
            return String::new();
        }
        let mut out = format!(
            "valid: {} with {}, {} with {}\n",
            count(self.groups, "group", "groups"),
            count(self.rules, "rule", "rules"),
            count(self.prefix_lists, "prefix list", "prefix lists"),
            count(self.prefix_entries, "entry", "entries"),
        );
        for compiled in &self.policies {
            let groups: Vec<&str> = compiled.groups.iter().map(Name::as_str).collect();
            let what = match &compiled.interface {
                Some(name) => format!("interface {name}"),
                None => format!("group {}", groups.join(", ")),
            };
            let size = bytes(u64::try_from(compiled.image_bytes).unwrap_or(u64::MAX));
            let rules = count(compiled.rules, "rule", "rules");
            out.push_str(&format!("{what}: {rules}, {size} compiled\n"));
        }
        out
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> anyhow::Result<Reply> {
    let (checked, shown) = match args.files.load_quietly() {
        Ok(loaded) => {
            let mut checked = compiled(&loaded.policy);
            checked.diagnostics.splice(0..0, loaded.notes);
            let list = checked.diagnostics.clone();
            (checked, Diagnostics { list, more: 0 })
        }
        Err(error) => {
            let Some(found) = error.downcast_ref::<Diagnostics>() else { return Err(error) };
            let diagnostics = found.list.clone();
            (Checked { diagnostics, ..Checked::default() }, found.clone())
        }
    };
    if !shown.list.is_empty() {
        report::block(context.colours(), &shown.to_string());
    }
    let code = u8::from(!checked.valid);
    Ok(Reply { code, ..context.reply(&checked)? })
}

/// Compiles what interfaces would be given.
fn compiled(policy: &Policy) -> Checked {
    let mut checked = Checked {
        valid: true,
        groups: policy.groups.len(),
        rules: policy.groups.values().map(|g| g.ingress.len() + g.egress.len()).sum(),
        prefix_lists: policy.prefix_lists.len(),
        prefix_entries: policy.prefix_lists.values().map(|list| list.entries.len()).sum(),
        ..Checked::default()
    };
    let members = members(policy);
    // Interfaces with the same groups share one policy.
    let mut sizes: BTreeMap<Vec<Name>, Result<(usize, usize), CompileError>> = BTreeMap::new();
    let mut unused: BTreeSet<&Name> = policy.groups.keys().collect();
    let of_interfaces = policy.interfaces.iter().map(|(name, interface)| {
        let groups: BTreeSet<&Name> = interface.groups.iter().collect();
        (Some(name.clone()), groups.into_iter().cloned().collect::<Vec<Name>>())
    });
    let mut wanted: Vec<(Option<Arc<str>>, Vec<Name>)> = of_interfaces.collect();
    for (_, groups) in &wanted {
        for group in groups {
            unused.remove(group);
        }
    }
    wanted.extend(unused.into_iter().map(|name| (None, vec![name.clone()])));
    for (interface, groups) in wanted {
        let size = sizes.entry(groups.clone()).or_insert_with(|| size(policy, &groups, &members));
        match size {
            Ok((rules, image_bytes)) => checked.policies.push(Compiled {
                interface,
                groups,
                rules: *rules,
                image_bytes: *image_bytes,
            }),
            Err(error) => {
                checked.valid = false;
                checked.diagnostics.push(too_large(policy, interface.as_deref(), error));
            }
        }
    }
    checked
}

/// Rules of a policy and the bytes of its two images.
fn size(
    policy: &Policy,
    groups: &[Name],
    members: &BTreeMap<Name, Arc<[IpNet]>>,
) -> Result<(usize, usize), CompileError> {
    // Any number is as good as another here: slots say where a rule is counted.
    let resolved = resolve(policy, groups, members, |_: RuleId| 1);
    let (ingress, egress) = compile::compile_both(&resolved.ingress, &resolved.egress)?;
    let rules = resolved.ingress.len() + resolved.egress.len();
    Ok((rules, ingress.bytes().len() + egress.bytes().len()))
}

/// Members of each group as far as the files tell: a host adds the addresses of its interfaces.
fn members(policy: &Policy) -> BTreeMap<Name, Arc<[IpNet]>> {
    let of = |(name, group): (&Name, &crate::policy::model::Group)| {
        let interfaces = policy.interfaces.values().filter(|i| i.groups.contains(name));
        let guests = interfaces.flat_map(|i| i.addresses.iter().map(|ip| IpNet::from(*ip)));
        let all: BTreeSet<IpNet> = group.members.iter().copied().chain(guests).collect();
        (name.clone(), all.into_iter().collect::<Vec<_>>().into())
    };
    policy.groups.iter().map(of).collect()
}

fn too_large(policy: &Policy, interface: Option<&str>, error: &CompileError) -> Diagnostic {
    let of = interface.map(|name| format!("{name}: ")).unwrap_or_default();
    let CompileError::ImageTooLarge { culprit, .. } = error;
    let help = match find_rule(policy, *culprit) {
        Ok(place) => format!(
            "use fewer prefixes or port ranges in {} rule {} of the group \"{}\"",
            place.direction.name(),
            place.index + 1,
            place.group
        ),
        Err(_) => "use fewer prefixes or port ranges in one rule".to_owned(),
    };
    Diagnostic::new(Severity::Error, format!("{of}{error}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{golden, view};

    #[test]
    fn a_good_policy_is_compiled_for_each_interface_and_unused_group() {
        let mut policy = view().policy;
        policy.interfaces.retain(|name, _| &**name == "eth0");
        let checked = compiled(&policy);
        assert!(checked.valid && checked.policies.iter().all(|p| p.image_bytes > 0));
        let of: Vec<_> = checked.policies.iter().map(|p| p.interface.as_deref()).collect();
        assert_eq!(of, [Some("eth0"), None]);
        // Sizes are the compiler's affair.
        let mut checked = checked;
        for compiled in &mut checked.policies {
            compiled.image_bytes = 4096;
        }
        golden("check", &checked);
    }

    #[test]
    fn members_of_groups_are_those_of_the_files() {
        let members = members(&view().policy);
        let text = |name: &str| members[name].iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text("db"), ["10.0.0.7/32", "192.0.2.10/32"]);
        assert!(text("web").is_empty());
    }
}
