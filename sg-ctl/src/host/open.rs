//! Opening a host: its network namespace, its directories, its store and its kernel.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::enforcer::Enforcer;
use super::{Location, View};
use crate::datapath::kernel::Kernel;
use crate::datapath::netns::{self, Namespace};
use crate::datapath::{bpffs, probe};
use crate::error::refuse;
use crate::store::lock::Holder;
use crate::store::{Embedded, NamespaceId, Note, State};
use crate::transaction::Session;

/// Default state directory.
const STATE_DIRECTORY: &str = "/var/lib/sg-ctl";
/// Default directory of pins.
const PIN_DIRECTORY: &str = "/sys/fs/bpf/sg-ctl";

/// One host, or one network namespace of it.
pub struct Host {
    pub(super) session: Session<'static, Embedded, Enforcer>,
}

/// A directory for a namespace: as given, else the default one, for a namespace other than the
/// first below it.
fn directory(
    given: Option<&PathBuf>,
    default: &str,
    namespace: &Namespace,
) -> anyhow::Result<PathBuf> {
    match (given, namespace) {
        (Some(path), _) => {
            std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()))
        }
        (None, Namespace::Init) => Ok(PathBuf::from(default)),
        (None, Namespace::Named(name)) => Ok(Path::new(default).join("netns").join(name)),
        (None, Namespace::Unnamed) => Err(refuse(
            "this network namespace is not that of process 1, or that one cannot be seen, and it has \
             no name in /run/netns; so it has no default directories",
            "name it (`ip netns attach NAME PID`), or give both --state-dir and --bpffs",
        )),
    }
}

impl Host {
    /// Enters the network namespace and opens what lies there. `waiting` is called when another
    /// writer is waited for.
    ///
    /// # Errors
    /// Missing rights, a namespace that does not exist, pins of another version, a store that is
    /// damaged or belongs to another namespace.
    pub fn open(
        location: &Location,
        waiting: impl FnMut(&Holder) + 'static,
    ) -> anyhow::Result<Self> {
        probe::require_privileges()?;
        if let Some(name) = &location.netns {
            netns::enter(name)?;
        }
        let namespace = netns::current().context("cannot tell the network namespace")?;
        let state_dir = directory(location.state_dir.as_ref(), STATE_DIRECTORY, &namespace)?;
        let pins = directory(location.bpffs.as_ref(), PIN_DIRECTORY, &namespace)?;
        let kernel =
            if bpffs::is_mounted(&pins) { Kernel::open(&pins)? } else { Kernel::unloaded(&pins) };
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .context("cannot read the boot's identity")?;
        let namespace = NamespaceId {
            label: namespace.label(),
            boot_id: boot_id.trim().to_owned(),
            inode: netns::inode().context("cannot tell the network namespace")?,
        };
        Ok(Self {
            session: Session {
                store: Embedded::new(&state_dir),
                kernel: Enforcer::new(kernel),
                directory: state_dir,
                namespace,
                note: Note::default(),
                timeout: location.lock_timeout,
                waiting: Box::new(waiting),
            },
        })
    }

    /// The committed state; brings an interrupted change to its end first.
    ///
    /// # Errors
    /// Where the store or the pins cannot be read or do not fit together.
    pub fn view(&mut self) -> anyhow::Result<View> {
        let (generation, state) = self.committed()?;
        let members = state.members.iter().map(|(k, v)| (k.clone(), v.to_vec())).collect();
        Ok(View { generation, policy: state.policy, members })
    }

    pub(super) fn committed(&mut self) -> anyhow::Result<(u64, State)> {
        let view = self.session.read()?;
        for warning in &view.warnings {
            tracing::warn!("{warning}");
        }
        Ok((view.snapshot.generation, view.snapshot.state))
    }

    pub(super) fn kernel(&self) -> &Kernel {
        &self.session.kernel.kernel
    }
}
