//! Constants that the loader sets for each attachment. The verifier knows them, so a branch that
//! they rule out costs nothing.
//!
//! The values here are never used, and deliberately odd: the compiler puts an unnamed constant of the
//! same value (such as the key 0 of an array) in the same place, and the loader would change that too.

use aya_ebpf::Global;

/// Number of the endpoint: its place in the directory.
#[unsafe(no_mangle)]
pub(crate) static ENDPOINT: Global<u32> = Global::new(0x5347_0001);

/// Not 0: frames begin with an Ethernet header. 0: with an IP header.
#[unsafe(no_mangle)]
pub(crate) static ETHERNET: Global<u32> = Global::new(0x5347_0002);

/// Shards of the counters; a power of two.
#[unsafe(no_mangle)]
pub(crate) static SHARDS: Global<u32> = Global::new(0x5347_0003);

/// Not 0: several CPUs share a shard, so counters are added to atomically.
#[unsafe(no_mangle)]
pub(crate) static ATOMIC_COUNTERS: Global<u32> = Global::new(0x5347_0004);

/// Not 0: nothing is written but the explanation in `SG_EXPLAIN`.
#[unsafe(no_mangle)]
pub(crate) static READ_ONLY: Global<u32> = Global::new(0x5347_0005);

/// 0: the connection table is not looked at, as for a first packet.
#[unsafe(no_mangle)]
pub(crate) static USE_TABLE: Global<u32> = Global::new(0x5347_0006);

/// What a driver of `sg-ctl bench` does with a header: a number of `sg_common::tables::bench`.
#[unsafe(no_mangle)]
pub(crate) static BENCH_STAGE: Global<u32> = Global::new(0x5347_0007);

/// Direction in which the drivers judge.
#[unsafe(no_mangle)]
pub(crate) static BENCH_DIRECTION: Global<u32> = Global::new(0x5347_0008);

/// Slot of the image whose lines the memory floor touches.
#[unsafe(no_mangle)]
pub(crate) static BENCH_SLOT: Global<u32> = Global::new(0x5347_0009);

/// Rules that the memory floor counts for.
#[unsafe(no_mangle)]
pub(crate) static BENCH_RULES: Global<u32> = Global::new(0x5347_000a);
