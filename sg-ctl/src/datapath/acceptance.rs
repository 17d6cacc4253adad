//! Which devices can carry a filter.

use super::devices::{Device, LinkLayer};
use super::error::DatapathError;

/// Refuses devices that cannot or must not carry a filter.
///
/// # Errors
/// [`DatapathError::Refused`] with the mend.
pub fn accept(device: &Device, all: &[Device]) -> Result<(), DatapathError> {
    let name = &device.name;
    let refuse =
        |reason: String, help: &str| Err(DatapathError::Refused { reason, help: help.to_owned() });
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
    let master = device.master.and_then(|index| all.iter().find(|d| d.index == index));
    if let Some(bond) = master.filter(|m| matches!(m.kind.as_deref(), Some("bond" | "team"))) {
        return refuse(
            format!("{name} is a port of {}", bond.name),
            &format!("attach {}; it sees the traffic of all its ports", bond.name),
        );
    }
    Ok(())
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

    #[test]
    fn devices_that_cannot_carry_a_filter_are_refused_with_the_mend() {
        let device = |name: &str, link_layer, kind: Option<&str>, master| Device {
            index: name.len() as u32,
            name: name.to_owned(),
            alternative_names: Vec::new(),
            link_layer,
            kind: kind.map(str::to_owned),
            master,
            mtu: 1500,
            xdp: None,
        };
        let bond = device("bond00", LinkLayer::Ethernet, Some("bond"), None);
        let port = device("eth0", LinkLayer::Ethernet, None, Some(6));
        let all = [bond.clone(), port.clone()];
        let text = |d: &Device| accept(d, &all).map_err(|e| e.help().unwrap_or_default());
        assert!(text(&bond).is_ok());
        assert!(text(&port).unwrap_err().contains("attach bond00"));
        assert!(text(&device("lo", LinkLayer::Loopback, None, None)).is_err());
        assert!(text(&device("can0", LinkLayer::Unknown(280), None, None)).is_err());
        assert!(text(&device("red", LinkLayer::Ethernet, Some("vrf"), None)).is_err());
        assert!(text(&device("tun0", LinkLayer::None, Some("tun"), None)).is_ok());
    }
}
