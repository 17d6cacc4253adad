//! Programs that `cargo xtask bench` compares the filter with, and the one that sends the packets.
//!
//! They share the product's modules, so the parser and the tables of the floors are the product's
//! own; its hooks come along in the object and are not loaded.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[path = "../bench.rs"]
mod bench;
#[cfg(target_arch = "bpf")]
#[path = "../constants.rs"]
mod constants;
#[cfg(target_arch = "bpf")]
mod count;
#[cfg(target_arch = "bpf")]
#[path = "../counters.rs"]
mod counters;
#[cfg(target_arch = "bpf")]
#[path = "../env.rs"]
mod env;
#[cfg(target_arch = "bpf")]
mod floors;
#[cfg(target_arch = "bpf")]
#[path = "../frame.rs"]
mod frame;
#[cfg(target_arch = "bpf")]
mod generate;
#[cfg(target_arch = "bpf")]
#[path = "../hooks.rs"]
mod hooks;
#[cfg(target_arch = "bpf")]
#[path = "../image.rs"]
mod image;
#[cfg(target_arch = "bpf")]
#[path = "../maps.rs"]
mod maps;
#[cfg(target_arch = "bpf")]
#[path = "../repeat.rs"]
mod repeat;
#[cfg(target_arch = "bpf")]
mod trie;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
