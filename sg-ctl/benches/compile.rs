//! Compiling one direction of a policy into an image; sizes are printed before.
//!
//! `cargo bench -p sg-ctl --bench compile`

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use sg_ctl::bench::generate::{Family, Style, generate, resolved};
use sg_ctl::compile::compile;

const SEED: u64 = 1;

fn compile_styles(criterion: &mut Criterion) {
    for style in Style::ALL {
        for family in [Family::V4, Family::V6] {
            let mut group = criterion.benchmark_group(format!("compile/{style}/{family:?}"));
            group.sample_size(10);
            let most = if style == Style::Blocklist { 1_000_000 } else { 100_000 };
            for count in [10, 1000, 10_000, 100_000, 1_000_000] {
                if count > most {
                    continue;
                }
                let policy = generate(style, family, count, SEED);
                let rules = resolved(&policy);
                let image = compile(&rules.ingress, &rules.egress).expect("it fits");
                println!("{style} {family:?} {count}: {} bytes", image.bytes().len());
                group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                    bencher.iter_batched(
                        || (),
                        |()| compile(&rules.ingress, &rules.egress),
                        BatchSize::PerIteration,
                    );
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().without_plots();
    targets = compile_styles
}
criterion_main!(benches);
