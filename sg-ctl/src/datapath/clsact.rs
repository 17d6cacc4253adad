//! The clsact qdisc, which holds TC programs below kernel 6.6. Its filters are no objects that can be
//! pinned: they stay on the device whatever becomes of the pins.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption};
use netlink_sys::protocols::NETLINK_ROUTE;
use sg_common::verdict::Direction;

use super::netlink::request;

/// A filter on one of the qdisc's hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter {
    /// Upper and lower half of its handle.
    pub(super) handle: (u16, u16),
    /// Name of its program, if it is a BPF filter.
    pub(super) program: Option<String>,
}

fn message(device: u32, parent: TcHandle) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = i32::try_from(device).unwrap_or_default();
    message.header.parent = parent;
    message
}

/// Removes the clsact qdisc of a device, with every filter on it.
///
/// # Errors
/// Those of the netlink socket; a device without that qdisc is no error.
pub(super) fn remove(device: u32) -> io::Result<()> {
    let message = message(device, TcHandle::CLSACT);
    match request(NETLINK_ROUTE, RouteNetlinkMessage::DelQueueDiscipline(message), false, |_| {}) {
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL | libc::ENODEV)) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// The filters on one hook of a device's clsact qdisc, of whomever. The kernel lists each priority
/// first, without a handle; that is none of them.
///
/// # Errors
/// Those of the netlink socket; a device without that qdisc has none.
pub(super) fn filters(device: u32, hook: Direction) -> io::Result<Vec<Filter>> {
    let minor = match hook {
        Direction::Ingress => 0xfff2,
        Direction::Egress => 0xfff3,
    };
    let message = message(device, TcHandle { major: 0xffff, minor });
    let mut filters = Vec::new();
    let result =
        request(NETLINK_ROUTE, RouteNetlinkMessage::GetTrafficFilter(message), true, |reply| {
            let RouteNetlinkMessage::NewTrafficFilter(filter) = reply else { return };
            let handle = (filter.header.handle.major, filter.header.handle.minor);
            if handle != (0, 0) {
                filters.push(Filter { handle, program: program(&filter) });
            }
        });
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => {}
        other => other?,
    }
    Ok(filters)
}

fn program(filter: &TcMessage) -> Option<String> {
    filter.attributes.iter().find_map(|attribute| {
        let TcAttribute::Options(options) = attribute else { return None };
        options.iter().find_map(|option| match option {
            TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => Some(name.clone()),
            _ => None,
        })
    })
}
