//! Interfaces: attach, update, detach.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::model::{Hook, Interface, Mode, Name, Policy, Side};
use super::super::suggest;
use super::{EditError, known_groups, unknown_group};

/// What `update` changes; what is `None` or empty stays.
#[derive(Clone, Debug, Default)]
pub struct InterfaceChange {
    /// All groups.
    pub groups: Option<Vec<Name>>,
    /// Groups that come.
    pub add_groups: Vec<Name>,
    /// Groups that go.
    pub remove_groups: Vec<Name>,
    /// Another mode.
    pub mode: Option<Mode>,
    /// Another side.
    pub side: Option<Side>,
    /// Another hook.
    pub hook: Option<Hook>,
    /// Other addresses of the guest.
    pub addresses: Option<Vec<IpAddr>>,
    /// Whether the guest may be a router or DHCP server.
    pub guest_servers: Option<bool>,
    /// Whether the device need not exist.
    pub wait: Option<bool>,
}

/// Adds an interface.
///
/// # Errors
/// It is attached, a group does not exist, or what belongs to the guest side is said of the host's.
pub fn attach(policy: &mut Policy, name: &Arc<str>, interface: Interface) -> Result<(), EditError> {
    if policy.interfaces.contains_key(name) {
        return Err(EditError::new(
            format!("{name} is attached already"),
            format!("change it without a gap with `sg-ctl update {name}`"),
        ));
    }
    known_groups(policy, &interface.groups)?;
    check(name, &interface)?;
    policy.interfaces.insert(name.clone(), interface);
    Ok(())
}

/// Changes an interface.
///
/// # Errors
/// As [`attach`]; a group to remove that it does not have.
pub fn update_interface(
    policy: &mut Policy,
    name: &str,
    change: &InterfaceChange,
) -> Result<(), EditError> {
    let Some((name, interface)) = policy.interfaces.get_key_value(name) else {
        return Err(not_attached(policy, name));
    };
    let (name, mut interface) = (name.clone(), interface.clone());
    if let Some(groups) = &change.groups {
        known_groups(policy, groups)?;
        interface.groups.clone_from(groups);
    }
    for group in &change.remove_groups {
        let Some(place) = interface.groups.iter().position(|own| own == group) else {
            if !policy.groups.contains_key(group) {
                return Err(unknown_group(policy, group));
            }
            let own: Vec<&str> = interface.groups.iter().map(Name::as_str).collect();
            let help = match own.is_empty() {
                true => "it has no group".to_owned(),
                false => format!("its groups are {}", own.join(", ")),
            };
            return Err(EditError::new(
                format!("{name} does not have the group \"{group}\""),
                help,
            ));
        };
        interface.groups.remove(place);
    }
    for group in &change.add_groups {
        if !policy.groups.contains_key(group) {
            return Err(unknown_group(policy, group));
        }
        if !interface.groups.contains(group) {
            interface.groups.push(group.clone());
        }
    }
    interface.mode = change.mode.unwrap_or(interface.mode);
    interface.side = change.side.unwrap_or(interface.side);
    interface.hook = change.hook.unwrap_or(interface.hook);
    interface.guest_servers = change.guest_servers.unwrap_or(interface.guest_servers);
    interface.wait = change.wait.unwrap_or(interface.wait);
    if let Some(addresses) = &change.addresses {
        interface.addresses.clone_from(addresses);
    }
    check(&name, &interface)?;
    policy.interfaces.insert(name, interface);
    Ok(())
}

/// Removes an interface.
///
/// # Errors
/// It is not attached.
pub fn detach(policy: &mut Policy, name: &str) -> Result<Interface, EditError> {
    policy.interfaces.remove(name).ok_or_else(|| not_attached(policy, name))
}

fn not_attached(policy: &Policy, name: &str) -> EditError {
    let known: Vec<&str> = policy.interfaces.keys().map(|name| &**name).collect();
    let help = match suggest::nearest(name, known.iter().copied()) {
        Some(near) => format!("{near} is attached; did you mean that?"),
        None if known.is_empty() => {
            format!("no interface is; attach it with `sg-ctl attach {name} --group NAME`")
        }
        None => format!("attached: {}", known.join(", ")),
    };
    EditError::new(format!("{name} is not attached"), help)
}

fn check(name: &str, interface: &Interface) -> Result<(), EditError> {
    if interface.side == Side::Host {
        let key = match interface {
            Interface { addresses, .. } if !addresses.is_empty() => "addresses belong",
            Interface { guest_servers: true, .. } => "guest servers belong",
            _ => return Ok(()),
        };
        return Err(EditError::new(
            format!("{key} to interfaces of the guest side, and {name} is on the host's"),
            "leave them out, or say `--side guest`",
        ));
    }
    for (index, address) in interface.addresses.iter().enumerate() {
        if interface.addresses[..index].contains(address) {
            let message = format!("the address {address} is named twice");
            return Err(EditError::new(message, "name it once"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::edit::testing::{name, policy};

    const POLICY: &str = "[groups.a]\n[groups.b]\n[interfaces.eth0]\ngroups = [\"a\"]\n";

    #[test]
    fn an_attached_interface_names_update() {
        let mut policy = policy(POLICY);
        let error = attach(&mut policy, &"eth0".into(), Interface::default()).unwrap_err();
        assert!(error.help.contains("sg-ctl update eth0"), "{}", error.help);
        attach(&mut policy, &"eth1".into(), Interface::default()).unwrap();
        assert_eq!(policy.interfaces.len(), 2);
    }

    #[test]
    fn groups_must_exist_and_be_named_once() {
        let mut policy = policy(POLICY);
        let with = |groups: &[&str]| Interface {
            groups: groups.iter().map(|group| name(group)).collect(),
            ..Interface::default()
        };
        let unknown = attach(&mut policy, &"eth1".into(), with(&["c"])).unwrap_err();
        assert!(unknown.message.contains("no group \"c\""), "{unknown}");
        let twice = attach(&mut policy, &"eth1".into(), with(&["a", "a"])).unwrap_err();
        assert!(twice.message.contains("twice"), "{twice}");
        assert_eq!(policy.interfaces.len(), 1);
    }

    #[test]
    fn groups_come_and_go_and_the_rest_stays() {
        let mut policy = policy(POLICY);
        let change = InterfaceChange {
            add_groups: vec![name("b"), name("b")],
            remove_groups: vec![name("a")],
            ..InterfaceChange::default()
        };
        update_interface(&mut policy, "eth0", &change).unwrap();
        assert_eq!(policy.interfaces["eth0"].groups, [name("b")]);
        let error = update_interface(&mut policy, "eth0", &change).unwrap_err();
        assert!(error.message.contains("does not have the group \"a\""), "{error}");
        assert!(error.help.contains('b'));
    }

    #[test]
    fn what_is_not_named_stays() {
        let mut policy = policy(
            "[groups.a]\n[interfaces.tap7]\ngroups = [\"a\"]\nside = \"guest\"\nhook = \"tc\"\n\
             addresses = [\"10.0.0.7\"]\nguest-servers = true\n",
        );
        let before = policy.interfaces["tap7"].clone();
        let change = InterfaceChange { mode: Some(Mode::Monitor), ..InterfaceChange::default() };
        update_interface(&mut policy, "tap7", &change).unwrap();
        assert_eq!(policy.interfaces["tap7"], Interface { mode: Mode::Monitor, ..before });
        let host = InterfaceChange { side: Some(Side::Host), ..InterfaceChange::default() };
        assert!(update_interface(&mut policy, "tap7", &host).is_err());
    }

    #[test]
    fn what_is_not_attached_cannot_be_detached() {
        let mut policy = policy(POLICY);
        let error = detach(&mut policy, "eht0").unwrap_err();
        assert!(error.help.contains("eth0"), "{}", error.help);
        detach(&mut policy, "eth0").unwrap();
        assert!(policy.interfaces.is_empty());
    }
}
