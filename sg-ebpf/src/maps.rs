//! The maps. The controller makes and pins them and the loader puts its own in place of these, so
//! only their types and names count here.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, PerCpuArray};
use aya_ebpf::macros::btf_map;
use sg_common::tables::{IMAGES_PER_CLASS, TRACE_BYTES};

/// `BPF_F_MMAPABLE`.
const MMAPABLE: usize = 1 << 10;

/// One value of the controller's maps, as words: the BTF of an integer array is accepted by every
/// kernel as the value of an inner map, that of a struct is not by 6.1.
type Words<const N: usize> = [u64; N];

/// An image of `4 * N` bytes.
type Images<const N: usize> =
    ArrayOfMaps<Array<[u32; N], 1, MMAPABLE>, { IMAGES_PER_CLASS as usize }>;

#[btf_map]
pub(crate) static SG_CONTROL: Array<Words<8>, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SG_DIRECTORY: Array<Words<4>, 2048, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SG_SETTINGS: Array<Words<12>, 2, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SG_RULE_COUNTERS: Array<Words<4>, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SG_REASON_COUNTERS: Array<Words<2>, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SG_CT_BUCKETS: Array<Words<8>, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SG_CT_ENTRIES: Array<Words<8>, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SG_EXPLAIN: Array<Words<6>, 1> = Array::new();

/// Headers of `sg-ctl bench`, and the number of the next one.
#[btf_map]
pub(crate) static SG_TRACE: Array<Words<{ TRACE_BYTES as usize / 8 }>, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SG_BENCH_NEXT: PerCpuArray<Words<1>, 1> = PerCpuArray::new();

/// See `Scratch` in `hooks.rs`.
#[btf_map]
pub(crate) static SG_SCRATCH: PerCpuArray<Words<24>, 1> = PerCpuArray::new();

#[btf_map]
pub(crate) static SG_IMAGES_0: Images<{ 1 << 10 }> = ArrayOfMaps::new();
#[btf_map]
pub(crate) static SG_IMAGES_1: Images<{ 8 << 10 }> = ArrayOfMaps::new();
#[btf_map]
pub(crate) static SG_IMAGES_2: Images<{ 64 << 10 }> = ArrayOfMaps::new();
#[btf_map]
pub(crate) static SG_IMAGES_3: Images<{ 512 << 10 }> = ArrayOfMaps::new();
#[btf_map]
pub(crate) static SG_IMAGES_4: Images<{ 4 << 20 }> = ArrayOfMaps::new();
#[btf_map]
pub(crate) static SG_IMAGES_5: Images<{ 32 << 20 }> = ArrayOfMaps::new();
