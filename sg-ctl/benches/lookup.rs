//! One lookup in an image in memory: address, protocol and port to decision.
//!
//! `cargo bench -p sg-ctl --bench lookup`. Each figure is for one packet, of 65 536 different ones
//! in random order, each of which matches a rule.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sg_common::verdict::Direction;
use sg_ctl::bench::generate::{Family, Style, generate, resolved};
use sg_ctl::bench::trace::{Mix, draw};
use sg_ctl::compile::compile;

const SEED: u64 = 1;
const PACKETS: usize = 1 << 16;

fn lookup(criterion: &mut Criterion) {
    for style in Style::ALL {
        for family in [Family::V4, Family::V6] {
            let mut group = criterion.benchmark_group(format!("lookup/{style}/{family:?}"));
            group.throughput(Throughput::Elements(1));
            for count in [10, 1000, 10_000, 100_000] {
                let policy = generate(style, family, count, SEED);
                let rules = resolved(&policy);
                let image = compile(&rules.ingress, &rules.egress).expect("it fits");
                let packets = draw(&rules.ingress, Direction::Ingress, Mix::HITS, PACKETS, SEED);
                let asked: Vec<_> = packets.iter().map(|p| (p.peer(), p.key())).collect();
                let mut next = 0;
                group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                    bencher.iter(|| {
                        let (peer, (kind, key)) = asked[next % PACKETS];
                        next += 1;
                        image.decide(black_box(peer), kind, key)
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = lookup
}
criterion_main!(benches);
