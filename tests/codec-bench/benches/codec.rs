//! Every candidate over every input, in criterion's terms.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, SamplingMode, Throughput};
use tidewater_codec_bench::decode::{self, DECODERS, FLOORS, Tally};
use tidewater_codec_bench::encode::{self, ENCODERS};
use tidewater_codec_bench::inputs::{CHUNKS, INPUTS};

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(Clock)
        .sample_size(10)
        .nresamples(1000)
        .warm_up_time(Duration::from_millis(60))
        .measurement_time(Duration::from_millis(150))
        .without_plots()
        .configure_from_args();
    decoders(&mut criterion);
    encoders(&mut criterion);
    criterion.final_summary();
}

fn decoders(criterion: &mut Criterion<Clock>) {
    for input in INPUTS {
        for (name, chunk) in CHUNKS {
            let wire = input.wire(chunk);
            let all = Tally { events: wire.events, data: wire.data };
            let mut group = criterion.benchmark_group(format!("decode {} {name}", input.name));
            group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Bytes(wire.len as u64));
            for decoder in DECODERS {
                assert_eq!(decoder.tally.over(&wire.chunks), Ok(all), "{} {} {name}", decoder.id, input.name);
                group.bench_function(decoder.id, |bench| match decoder.tally {
                    decode::Run::Lent(run) => bench.iter(|| run(black_box(&wire.chunks))),
                    decode::Run::Given(run) => {
                        bench.iter_batched(|| wire.chunks.clone(), run, BatchSize::PerIteration)
                    }
                });
            }
            for floor in FLOORS {
                group.bench_function(floor.id, |bench| bench.iter(|| (floor.run)(black_box(&wire.chunks))));
            }
            group.finish();
        }
    }
}

fn encoders(criterion: &mut Criterion<Clock>) {
    for input in INPUTS {
        // Frameworks take only what lives for ever.
        let payloads: &'static [String] = input.payloads().leak();
        let all = Tally { events: payloads.len(), data: payloads.iter().map(String::len).sum() };
        let mut group = criterion.benchmark_group(format!("encode {}", input.name));
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Bytes(all.data as u64));
        for encoder in ENCODERS {
            let wire = (encoder.wire)(payloads)
                .map(Bytes::from)
                .unwrap_or_else(|error| panic!("{}: {error}", encoder.id));
            if !encoder.id.starts_with("floor") {
                assert_eq!(DECODERS[0].tally.over(&[wire]), Ok(all), "{} {}", encoder.id, input.name);
            }
            group.bench_function(encoder.id, |bench| match encoder.run {
                encode::Run::Lent(run) => bench.iter(|| run(black_box(payloads))),
                encode::Run::Given(run) => {
                    bench.iter_batched(|| payloads.to_vec(), run, BatchSize::PerIteration)
                }
            });
        }
        group.finish();
    }
}

/// The thread's processor time: what others do on the machine meanwhile is not in it.
struct Clock;

impl Clock {
    fn now() -> Duration {
        #[cfg(unix)]
        {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
        }
        #[cfg(not(unix))]
        {
            std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
        }
    }
}

impl Measurement for Clock {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
