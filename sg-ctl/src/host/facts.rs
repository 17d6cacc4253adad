//! What a write has to know of the host: devices, addresses, and who is a member of which group.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context;
use ipnet::IpNet;

use crate::datapath::devices::{self, Device, LocalAddress};
use crate::policy::model::{Name, Policy, Side};

/// Devices and addresses of the network namespace at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) devices: Vec<Device>,
    pub(super) addresses: Vec<LocalAddress>,
}

impl Facts {
    /// Asks the kernel.
    pub(super) fn gather() -> anyhow::Result<Self> {
        Ok(Self {
            devices: devices::devices().context("cannot list the network devices")?,
            addresses: devices::addresses().context("cannot list the addresses")?,
        })
    }

    /// Addresses of a device that others can reach it by.
    fn global(&self, device: u32) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(move |a| a.device == device && a.global).map(|a| a.address)
    }
}

/// Members of each group (spec §2.25): its static ones, the global addresses of its host-side
/// interfaces, and of guest-side interfaces what their section says. `attached` gives the device of
/// an interface that is attached, which may have another name by now.
pub(super) fn members(
    policy: &Policy,
    facts: &Facts,
    attached: impl Fn(&str) -> Option<u32>,
) -> BTreeMap<Name, Arc<[IpNet]>> {
    let mut members: BTreeMap<Name, Vec<IpNet>> =
        policy.groups.iter().map(|(name, group)| (name.clone(), group.members.clone())).collect();
    for (name, interface) in &policy.interfaces {
        let addresses: Vec<IpAddr> = match interface.side {
            Side::Guest => interface.addresses.clone(),
            Side::Host => attached(name)
                .or_else(|| devices::by_name(&facts.devices, name).map(|d| d.index))
                .map(|device| facts.global(device).collect())
                .unwrap_or_default(),
        };
        for group in &interface.groups {
            if let Some(list) = members.get_mut(group) {
                list.extend(addresses.iter().map(|address| IpNet::from(*address)));
            }
        }
    }
    members
        .into_iter()
        .map(|(name, mut list)| {
            list.sort_unstable();
            list.dedup();
            (name, list.into())
        })
        .collect()
}
