//! The controller's library on this kernel: maps and programs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sg_common::tables::{IMAGE_CLASSES, image_slot};
use sg_ctl::compile::Image;
use sg_ctl::datapath::enforcement::{Enforcement, NewImage, Wanted};
use sg_ctl::datapath::kernel::Kernel;
use sg_ctl::policy::model::Hook;
use sg_tests::namespace::run;

pub(crate) fn place_images() -> Result<()> {
    let directory = Path::new("/sys/fs/bpf/images");
    // The last class alone would take the guest's whole memory several times over.
    let classes = IMAGE_CLASSES.iter().take_while(|size| **size <= 16 << 20).zip(0u32..);
    let images: Vec<NewImage> = classes
        .flat_map(|(size, class)| {
            let image = std::sync::Arc::new(Image::from_bytes(vec![0xa5; *size as usize]));
            (0..2).map(move |place| NewImage {
                slot: image_slot(class, place),
                image: std::sync::Arc::clone(&image),
            })
        })
        .collect();
    let count = images.len();
    ensure!(count == 10, "the size classes have changed: {count} images");
    let mut kernel = Kernel::open(directory).context("open")?;
    kernel
        .prepare(
            &Enforcement {
                generation: 1,
                interfaces: Vec::new(),
                images,
                settings: Default::default(),
                conntrack_max: 10_000,
                fresh_rules: Vec::new(),
                fresh_endpoints: Vec::new(),
            },
            false,
        )
        .context("prepare")?;
    kernel.flip(1).context("flip")?;
    ensure!(Kernel::open(directory)?.generation() == Some(1), "the flip is not to be seen");
    kernel.retain(&Default::default()).context("retain")?;
    ensure!(!directory.exists(), "{} is still there", directory.display());
    Ok(())
}

pub(crate) fn attach() -> Result<()> {
    let ip = |arguments: &str| run(Command::new("ip").args(arguments.split_whitespace()));
    ip("link add nic0 type veth peer name peer0");
    ip("link set nic0 up");
    ip("link set peer0 up");
    for hook in [Hook::Xdp, Hook::XdpGeneric, Hook::Tc] {
        let directory = Path::new("/sys/fs/bpf/attach");
        let mut kernel = Kernel::open(directory).context("open")?;
        kernel
            .prepare(
                &Enforcement {
                    generation: 1,
                    interfaces: vec![Wanted {
                        name: "nic0".into(),
                        endpoint: 0,
                        hook,
                        wait: false,
                        entry: Default::default(),
                    }],
                    images: Vec::new(),
                    settings: Default::default(),
                    conntrack_max: 10_000,
                    fresh_rules: Vec::new(),
                    fresh_endpoints: Vec::new(),
                },
                false,
            )
            .with_context(|| format!("{hook:?}: prepare"))?;
        kernel.flip(1)?;
        let attached = kernel.attachments()?;
        ensure!(attached.len() == 2, "{hook:?}: attached are {attached:?}");
        kernel.retain(&Default::default()).context("retain")?;
        ensure!(!directory.exists(), "{hook:?}: {} is still there", directory.display());
    }
    ip("link delete nic0");
    Ok(())
}
