//! A filter around the kernel's LPM trie: the longest prefix of the source holds port ranges.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::Array;
use aya_ebpf::btf_maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use sg_common::verdict::Direction;

use crate::frame::Xdp;
use crate::hooks::parse_into_scratch;

/// Port ranges that a prefix holds.
const RANGES: usize = 16;

/// The place of the counter, and two words for each range: the protocol (0 for all, `u32::MAX`
/// behind the last range), and `first << 16 | last`.
#[btf_map]
static PEER_TRIE: LpmTrie<[u8; 4], [u32; 1 + 2 * RANGES], 1> = LpmTrie::new();

/// Packets and bytes of each prefix.
#[btf_map]
static PEER_COUNTERS: Array<[u64; 2], 1> = Array::new();

/// Parses with the product's parser, finds the longest prefix, compares its ranges, counts.
#[xdp(frags)]
fn peer_trie(ctx: XdpContext) -> u32 {
    let Some((scratch, code)) = parse_into_scratch(Xdp(ctx.ctx), Direction::Ingress) else {
        return xdp_action::XDP_DROP;
    };
    let packet = &scratch.packet;
    if code != 0 || packet.family != 4 {
        return xdp_action::XDP_DROP;
    }
    let key = Key::new(32, (packet.source.low as u32).to_be_bytes());
    let Some(value) = PEER_TRIE.get(&key) else { return xdp_action::XDP_DROP };
    let (protocol, port) = (u32::from(packet.protocol), u32::from(packet.key));
    for range in 0..RANGES {
        let (of, ports) = (value[1 + 2 * range], value[2 + 2 * range]);
        if of == u32::MAX {
            break;
        }
        if (of == protocol || of == 0) && ports >> 16 <= port && port <= (ports & 0xffff) {
            if let Some(counter) = PEER_COUNTERS.get_ptr_mut(value[0]) {
                let packets = counter.cast::<u64>();
                // SAFETY: two aligned words; only the sending CPU adds.
                unsafe {
                    packets.write_volatile(packets.read_volatile().wrapping_add(1));
                    let bytes = packets.add(1);
                    bytes.write_volatile(
                        bytes.read_volatile().wrapping_add(u64::from(packet.length)),
                    );
                }
            }
            return xdp_action::XDP_PASS;
        }
    }
    xdp_action::XDP_DROP
}
