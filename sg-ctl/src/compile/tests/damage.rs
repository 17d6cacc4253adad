//! Damaged images: any answer, but an answer.

use proptest::prelude::*;

use sg_common::classifier::layout::HEADER;

use super::super::{Tuning, compile, compile_with};
use super::*;

fn look(image: &Image) {
    for peer in ["0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "2001:db8::1", "ffff::ffff"] {
        for kind in KINDS {
            for key in [0, 443, u16::MAX] {
                let _ = image.decide(peer.parse().unwrap(), kind, key);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        look(&Image::from_bytes(bytes));
    }

    #[test]
    fn flipped_bytes(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let rules = number(vec![
            allow(6, &[(1, 5), (9, 9), (11, 11), (20, 22)], &["10.0.0.0/8", "2001:db8::/32"]),
            deny(6, &[(4, 4)], &["10.1.0.0/16", "2001:db8::1/128"]),
            allow_all(),
        ]);
        let small = compile_with(&rules, &[], Tuning { root: 0, ..Tuning::SMALLEST });
        for image in [compile(&rules, &[]), small] {
            let mut bytes = image.unwrap().bytes().to_vec();
            for (place, byte) in &flips {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            look(&Image::from_bytes(bytes));
        }
    }
}

#[test]
fn a_row_that_is_its_own_parent_ends() {
    // Two kinds that tell ports apart make a wide row; its two sections follow it.
    let ports: Vec<_> = (0..20).map(|n| (n * 10, n * 10)).collect();
    let rules = number(vec![allow(6, &ports, &[]), allow(17, &ports, &[])]);
    let mut image = compile(&rules, &[]).unwrap().bytes().to_vec();
    let row = HEADER as usize;
    let above = u64::from_ne_bytes(*image[row..].first_chunk().unwrap());
    assert_eq!(above, 0xffff_ffff_0000_0000, "the row is here and has no parent");
    image[row..row + 8].copy_from_slice(&(row as u64).to_ne_bytes());
    look(&Image::from_bytes(image));
}
