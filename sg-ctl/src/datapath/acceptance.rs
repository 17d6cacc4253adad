//! Which devices can carry a filter.

use super::devices::{Device, LinkLayer};
use super::error::DatapathError;
use crate::policy::model::Hook;

fn refuse(reason: String, help: &str) -> Result<(), DatapathError> {
    Err(DatapathError::Refused { reason, help: help.to_owned() })
}

fn is_bond(device: &Device) -> bool {
    matches!(device.kind.as_deref(), Some("bond" | "team"))
}

/// The bond or team that a device is a port of.
fn bond_of<'a>(device: &Device, all: &'a [Device]) -> Option<&'a Device> {
    let master = device.master?;
    all.iter().find(|d| d.index == master && is_bond(d))
}

fn ports_of<'a>(bond: &Device, all: &'a [Device]) -> impl Iterator<Item = &'a Device> {
    let bond = is_bond(bond).then_some(bond.index);
    all.iter().filter(move |d| bond.is_some() && d.master == bond)
}

/// Refuses devices that cannot or must not carry a filter at a hook.
///
/// # Errors
/// [`DatapathError::Refused`] with the mend.
pub fn accept(device: &Device, hook: Hook, all: &[Device]) -> Result<(), DatapathError> {
    let name = &device.name;
    match device.link_layer {
        LinkLayer::Loopback => {
            return refuse(
                format!(
                    "{name} is the loopback device: local services talk over it, and packets to this host's own addresses pass nothing else"
                ),
                "attach the interface that the traffic arrives at",
            );
        }
        LinkLayer::Unknown(number) => {
            return refuse(
                format!(
                    "{name} has link type {number} (ARPHRD of linux/if_arp.h), which the filter cannot parse"
                ),
                "Ethernet devices and those without a link header (tun, WireGuard, PPP, IPIP, GRE) can be attached",
            );
        }
        LinkLayer::Ethernet | LinkLayer::None => {}
    }
    if device.kind.as_deref() == Some("vrf") {
        return refuse(
            format!("{name} is a VRF device: packets are judged by the interfaces in it"),
            "attach the interfaces that belong to the VRF",
        );
    }
    if let Some(bond) = bond_of(device, all) {
        return refuse(
            format!("{name} is a port of {}", bond.name),
            &format!("attach {}; it sees the traffic of all its ports", bond.name),
        );
    }
    accept_hook(device, hook, all)
}

/// Refuses native XDP on a bond whose port has an XDP program of its own: the kernel hands the
/// bond's program to every port (`bond_xdp_set` in Linux's `bond_main.c`), and says only "invalid
/// argument" where it cannot.
///
/// # Errors
/// [`DatapathError::Refused`] with the mend.
pub fn accept_hook(device: &Device, hook: Hook, all: &[Device]) -> Result<(), DatapathError> {
    let occupied = ports_of(device, all).find_map(|port| Some((port, port.xdp?)));
    match occupied {
        Some((port, xdp)) if hook == Hook::Xdp => refuse(
            format!(
                "{}, a port of {}, has an XDP program (id {}), and native XDP on {} needs the place",
                port.name, device.name, xdp.id, device.name
            ),
            &format!(
                "take it off (`sg-ctl detach {}` if it is this filter's, else `ip link set dev {} xdp off`), or use `--hook tc`",
                port.name, port.name
            ),
        ),
        _ => Ok(()),
    }
}

/// What native XDP on a device asks of it, for those whom the driver only told "no".
#[must_use]
pub fn native_needs(device: &Device, all: &[Device]) -> String {
    if !is_bond(device) {
        return "use `hook = \"tc\"` (`--hook tc`), which works on every device, or `auto`"
            .to_owned();
    }
    let ports: Vec<&str> = ports_of(device, all).map(|port| port.name.as_str()).collect();
    format!(
        "use `--hook tc`, which works on every device; native XDP on a bond asks for mode balance-rr, active-backup, 802.3ad or balance-xor, and for drivers with XDP under all ports ({})",
        if ports.is_empty() { "it has none".to_owned() } else { ports.join(", ") }
    )
}

/// What people should know of an attached device that is stacked with another attached one.
#[must_use]
pub fn stacking_notes(device: &Device, attached: &[u32], all: &[Device]) -> Vec<String> {
    let name = &device.name;
    let mut notes = Vec::new();
    if let Some(bond) = bond_of(device, all) {
        notes.push(format!(
            "{name} became a port of {} after it was attached, and still judges what crosses it; attach {} and detach {name}",
            bond.name, bond.name
        ));
    }
    notes.extend(ports_of(device, all).filter(|port| attached.contains(&port.index)).map(|port| {
        format!(
            "{}, a port of {name}, has a filter of its own, and both have to allow; `sg-ctl detach {}` leaves it to {name}",
            port.name, port.name
        )
    }));
    notes
}

/// The refusal of an interface that does not exist.
#[must_use]
pub fn missing(name: &str, all: &[Device]) -> DatapathError {
    let mut names: Vec<&str> = all.iter().map(|d| d.name.as_str()).filter(|n| *n != "lo").collect();
    names.sort_unstable();
    names.truncate(12);
    DatapathError::Refused {
        reason: format!("there is no interface {name}"),
        help: format!(
            "interfaces here: {}; for one that comes later write `when-absent = \"wait\"`",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::devices::XdpProgram;

    fn device(
        name: &str,
        link_layer: LinkLayer,
        kind: Option<&str>,
        master: Option<u32>,
    ) -> Device {
        Device {
            index: name.len() as u32,
            name: name.to_owned(),
            alternative_names: Vec::new(),
            link_layer,
            kind: kind.map(str::to_owned),
            master,
            mtu: 1500,
            xdp: None,
        }
    }

    #[test]
    fn devices_that_cannot_carry_a_filter_are_refused_with_the_mend() {
        let bond = device("bond00", LinkLayer::Ethernet, Some("bond"), None);
        let port = device("eth0", LinkLayer::Ethernet, None, Some(6));
        let all = [bond.clone(), port.clone()];
        let text =
            |d: &Device| accept(d, Hook::Auto, &all).map_err(|e| e.help().unwrap_or_default());
        assert!(text(&bond).is_ok());
        assert!(text(&port).unwrap_err().contains("attach bond00"));
        assert!(text(&device("lo", LinkLayer::Loopback, None, None)).is_err());
        assert!(text(&device("can0", LinkLayer::Unknown(280), None, None)).is_err());
        assert!(text(&device("red", LinkLayer::Ethernet, Some("vrf"), None)).is_err());
        assert!(text(&device("tun0", LinkLayer::None, Some("tun"), None)).is_ok());
        // A port of a bridge or of a VRF is none of a bond.
        let bridge = device("bridge0", LinkLayer::Ethernet, Some("bridge"), None);
        let port = device("eth0", LinkLayer::Ethernet, None, Some(7));
        assert!(accept(&port, Hook::Xdp, &[bridge, port.clone()]).is_ok());
    }

    #[test]
    fn native_xdp_on_a_bond_needs_the_place_on_its_ports() {
        let bond = device("bond00", LinkLayer::Ethernet, Some("bond"), None);
        let mut port = device("eth0", LinkLayer::Ethernet, None, Some(6));
        assert!(accept(&bond, Hook::Xdp, &[bond.clone(), port.clone()]).is_ok());
        assert!(native_needs(&bond, &[bond.clone(), port.clone()]).contains("(eth0)"));
        assert!(native_needs(&bond, &[]).contains("it has none"));
        for native in [true, false] {
            port.xdp = Some(XdpProgram { id: 77, native });
            let all = [bond.clone(), port.clone()];
            let error = accept(&bond, Hook::Xdp, &all).unwrap_err();
            assert!(error.to_string().contains("eth0, a port of bond00"), "{error}");
            assert!(error.to_string().contains("77"), "{error}");
            assert!(error.help().unwrap_or_default().contains("detach eth0"), "{error}");
            for hook in [Hook::Auto, Hook::XdpGeneric, Hook::Tc] {
                assert!(accept(&bond, hook, &all).is_ok(), "{hook:?}");
            }
        }
        // A program on a device that only has the same kind of name says nothing of this bond.
        port.master = None;
        assert!(accept(&bond, Hook::Xdp, &[bond.clone(), port]).is_ok());
    }

    #[test]
    fn a_bond_and_its_port_that_are_both_attached_are_told_of() {
        let bond = device("bond00", LinkLayer::Ethernet, Some("bond"), None);
        let port = device("eth0", LinkLayer::Ethernet, None, Some(6));
        let all = [bond.clone(), port.clone()];
        let notes = stacking_notes(&bond, &[4, 6], &all);
        assert!(matches!(notes.as_slice(), [note] if note.contains("eth0, a port of bond00")));
        assert!(stacking_notes(&bond, &[6], &all).is_empty());
        let notes = stacking_notes(&port, &[4], &all);
        assert!(matches!(notes.as_slice(), [note] if note.contains("became a port of bond00")));
        assert!(stacking_notes(&port, &[4], std::slice::from_ref(&port)).is_empty());
    }
}
