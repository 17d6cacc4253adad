//! The compiler: resolved rules of one direction -> classifier image. Pure, no I/O.
//!
//! ```text
//! rules --elements--> who matches what --prefixes--> address -> row --hints--> + what the other
//!                                                                  direction says --emit--> image
//! ```
//!
//! [`mod@reference`] judges the same rules one by one; the tests hold the image against it, and
//! explanations use it to list what else matches.

mod elements;
mod emit;
mod family;
mod hints;
mod image;
mod narrow;
mod prefixes;
pub mod reference;
mod rows;
mod sections;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use ipnet::IpNet;
use sg_common::tables::IMAGE_CLASSES;

pub use self::image::Image;
use self::prefixes::Space;
use crate::aside;
use crate::policy::model::{Action, PortRange, Protocol, RuleId};

/// A rule with its peers resolved: what the compiler works on.
#[derive(Clone, Debug)]
pub struct Rule<'p> {
    /// Identity; the last tie-break.
    pub id: RuleId,
    /// Counter slot, 1 to [`sg_common::tables::RULE_SLOTS`] - 1.
    pub slot: u32,
    /// A block: decides before every other rule, and stops ICMP errors too.
    pub block: bool,
    /// Allow or deny.
    pub action: Action,
    /// The lowest number decides.
    pub priority: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// Destination ports, sorted and merged; empty = all.
    pub ports: Cow<'p, [PortRange]>,
    /// ICMP type, with its code if that is compared too.
    pub icmp: Option<(u8, Option<u8>)>,
    /// Peers; `None` = anywhere, both families. `Some` with nothing inside matches nothing.
    pub peers: Option<Peers<'p>>,
}

impl Rule<'_> {
    /// The rule with copies of what it refers to.
    #[must_use]
    pub fn into_owned(self) -> Rule<'static> {
        let own = |Peers { own, lists }| Peers { own: Cow::Owned(Cow::into_owned(own)), lists };
        Rule { ports: Cow::Owned(self.ports.into_owned()), peers: self.peers.map(own), ..self }
    }
}

/// Addresses that a rule matches.
#[derive(Clone, Debug, Default)]
pub struct Peers<'p> {
    /// Networks that the rule itself names.
    pub own: Cow<'p, [IpNet]>,
    /// Networks that it has in common with other rules.
    pub lists: Vec<Arc<[IpNet]>>,
}

impl Peers<'_> {
    /// The rule's own networks, if there are any, and the lists.
    pub fn parts(&self) -> impl Iterator<Item = &[IpNet]> {
        let own = (!self.own.is_empty()).then_some(&*self.own);
        own.into_iter().chain(self.lists.iter().map(|list| &**list))
    }
}

impl From<Vec<Arc<[IpNet]>>> for Peers<'_> {
    fn from(lists: Vec<Arc<[IpNet]>>) -> Self {
        Self { own: Cow::Borrowed(&[]), lists }
    }
}

/// Why rules do not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The image is larger than the largest size class.
    #[error(
        "the compiled rules need {bytes} bytes, the limit is {limit} bytes per policy and \
         direction; most of it is for rule sgr-{:017x} with {elements} pairs of prefix and port \
         range",
        .culprit.0
    )]
    ImageTooLarge {
        /// What the image needs, or more than the limit if counting ended there.
        bytes: u64,
        /// The largest class of [`sg_common::tables::IMAGE_CLASSES`].
        limit: u64,
        /// The rule with the most pairs of prefix and port range.
        culprit: RuleId,
        /// How many those are.
        elements: u64,
    },
}

/// What the compiler may spend on a faster lookup: a fixed number of intervals, and a multiple of
/// those that the rules need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// This many.
    pub fixed: usize,
    /// And this many for each that is needed.
    pub times: usize,
}

impl Budget {
    /// Nothing.
    pub const NOTHING: Self = Self { fixed: 0, times: 0 };

    fn of(self, needed: usize) -> usize {
        self.times.saturating_mul(needed).saturating_add(self.fixed)
    }
}

/// Trade-offs between the image's size and the lookup's speed. None changes a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Intervals of protocols and ports that rows may copy from the rows of shorter prefixes. What
    /// is not copied is found by a walk.
    pub flatten: Budget,
    /// Address intervals that may be split where the other direction changes its mind. What is
    /// not split has the hint "depends".
    pub split: Budget,
    /// IPv4 address intervals from which on the root has 65 536 references; a sixteenth of them
    /// from which on it has 4 096. Below it has 256. With [`NO_ROOTS`] there is none, nor for IPv6.
    pub root: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            flatten: Budget { fixed: 1 << 16, times: 4 },
            split: Budget { fixed: 4096, times: 1 },
            root: 2048,
        }
    }
}

/// [`Tuning::root`]: addresses are searched for, and never looked up.
pub const NO_ROOTS: usize = usize::MAX;

impl Tuning {
    /// The smallest image.
    pub const SMALLEST: Self =
        Self { flatten: Budget::NOTHING, split: Budget::NOTHING, root: NO_ROOTS };
}

/// Compiles the rules of one direction; `other` are those of the other one, of which the image
/// holds hints.
///
/// The image depends on nothing but the rules: neither on their order nor on how peers are shared.
///
/// # Errors
/// If the image would be larger than the largest size class.
pub fn compile(own: &[Rule<'_>], other: &[Rule<'_>]) -> Result<Image, CompileError> {
    compile_with(own, other, Tuning::default())
}

/// [`compile`] with other tuning.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(
    own: &[Rule<'_>],
    other: &[Rule<'_>],
    tuning: Tuning,
) -> Result<Image, CompileError> {
    image(own, &space(own, tuning)?, &space(other, tuning)?, tuning, LARGEST)
}

/// Compiles both directions in less time than two calls of [`compile`]; the images are the same.
///
/// # Errors
/// As [`compile`].
pub fn compile_both(
    ingress: &[Rule<'_>],
    egress: &[Rule<'_>],
) -> Result<(Image, Image), CompileError> {
    let tuning = Tuning::default();
    let few = ingress.len().min(egress.len()) < ALONE;
    let (i, e) = both(few, || space(ingress, tuning), || space(egress, tuning));
    let (i, e) = (i?, e?);
    let (ingress, egress) = both(
        few,
        || image(ingress, &i, &e, tuning, LARGEST),
        || image(egress, &e, &i, tuning, LARGEST),
    );
    Ok((ingress?, egress?))
}

/// Rules in one direction that are worth a thread of their own.
const ALONE: usize = 1000;

/// Both results, side by side unless there is little to do.
fn both<A, B: Send>(little: bool, a: impl FnOnce() -> A, b: impl FnOnce() -> B + Send) -> (A, B) {
    if little { (a(), b()) } else { aside::both(a, b) }
}

/// Bytes of the largest size class.
const LARGEST: u32 = IMAGE_CLASSES[IMAGE_CLASSES.len() - 1];

/// What the rules say of every address.
fn space(rules: &[Rule<'_>], tuning: Tuning) -> Result<Space, CompileError> {
    Space::new(rules, tuning, LARGEST).map_err(|error| too_large(error, rules, LARGEST))
}

/// Writes the image; one that is too large is tried again as small as it can be.
fn image(
    own: &[Rule<'_>],
    own_space: &Space,
    other: &Space,
    tuning: Tuning,
    limit: u32,
) -> Result<Image, CompileError> {
    let result = match emit::emit(own_space, other, tuning, limit) {
        Err(_) if tuning != Tuning::SMALLEST => {
            let plain = Tuning::SMALLEST;
            Space::new(own, plain, limit).and_then(|own| emit::emit(&own, other, plain, limit))
        }
        result => result,
    };
    result.map_err(|error| too_large(error, own, limit))
}

/// An image needs more than its limit; how many bytes were counted.
#[derive(Debug)]
struct TooLarge(u64);

fn too_large(TooLarge(bytes): TooLarge, rules: &[Rule<'_>], limit: u32) -> CompileError {
    let largest = rules.iter().map(|rule| (elements::count(rule), rule.id)).max();
    let (elements, culprit) = largest.unwrap_or((0, RuleId(0)));
    CompileError::ImageTooLarge { bytes, limit: u64::from(limit), culprit, elements }
}
