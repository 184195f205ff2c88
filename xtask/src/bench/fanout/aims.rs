//! What the fan-out is meant to reach, and whether it does.

use super::{
    contender::Contender::{self, Floor, HandHyper, Hyper, Nchan, Rocket, Salvo, Warp},
    measured::{Figure, Measured},
    results::{Key, Results},
    workload::Workload,
};

/// What a figure has to be.
#[derive(Clone, Copy)]
enum Bound {
    Most(f64),
    Least(f64),
}

/// A line for each aim: ours against others, as measured.
pub(super) fn table(results: &Results) -> String {
    let mut table = String::from("| | ours | against | measured | aim | |\n|---|---|---|--:|--:|---|\n");
    for workload in Workload::ALL.iter().filter(|workload| results.has(**workload)) {
        for aim in aims(*workload, results) {
            table += &aim;
        }
    }
    table
}

fn aims(workload: Workload, results: &Results) -> Vec<String> {
    let key = |contender| (workload, contender, "");
    let against = |what: &str, ours: Contender, other: Contender, figure, bound| {
        let ratio = results.ratio(key(ours), key(other), figure)?;
        Some(line(workload, what, ours.title(), other.title(), &format!("{ratio:.2}"), ratio, bound))
    };
    let by_hand =
        |what: &str, ours: Contender, figure, bound| against(what, ours, ours.by_hand()?, figure, bound);
    let lines = match workload {
        Workload::W1 => {
            let cpu = "CPU per delivery";
            vec![
                against(cpu, Hyper, Floor, Figure::Cpu, Bound::Most(1.5)),
                against(cpu, Hyper, Nchan, Figure::Cpu, Bound::Most(0.8)),
                by_hand(cpu, Warp, Figure::Cpu, Bound::Most(0.85)),
                by_hand(cpu, Salvo, Figure::Cpu, Bound::Most(0.85)),
                by_hand(cpu, Rocket, Figure::Cpu, Bound::Most(0.6)),
            ]
        }
        Workload::W1w8 => {
            let cpu = "CPU per delivery";
            vec![
                against(cpu, Hyper, HandHyper, Figure::Cpu, Bound::Most(0.8)),
                against(cpu, Hyper, Nchan, Figure::Cpu, Bound::Most(0.25)),
            ]
        }
        Workload::W2 => {
            let memory = "memory per connection";
            vec![
                against(memory, Hyper, Nchan, Figure::Memory, Bound::Most(1.0)),
                by_hand(memory, Warp, Figure::Memory, Bound::Most(0.85)),
                by_hand(memory, Salvo, Figure::Memory, Bound::Most(0.85)),
                by_hand(memory, Rocket, Figure::Memory, Bound::Most(0.85)),
            ]
        }
        Workload::W3 => {
            let mut lines = Vec::new();
            for (what, figure) in [("p50", Figure::P50), ("p99", Figure::P99)] {
                lines.push(against(what, Hyper, Nchan, figure, Bound::Most(1.0)));
                for ours in Contender::OURS {
                    lines.push(by_hand(what, *ours, figure, Bound::Most(1.0)));
                }
            }
            lines
        }
        Workload::W5 => stalled(results),
        Workload::W6 => overload(results),
        Workload::W7 => two(workload, results).map_or_else(Vec::new, |(few, many)| {
            let ratio = results.ratio(many, few, Figure::CpuPerEvent);
            vec![ratio.map(|ratio| {
                line(
                    workload,
                    "CPU per message",
                    many.2,
                    few.2,
                    &format!("{ratio:.2}"),
                    ratio,
                    Bound::Most(1.2),
                )
            })]
        }),
        Workload::W8 => brokers(results),
        Workload::W1p => vec![],
    };
    lines.into_iter().flatten().collect()
}

fn stalled(results: &Results) -> Vec<Option<String>> {
    let Some((without, with)) = two(Workload::W5, results) else { return Vec::new() };
    let workload = Workload::W5;
    let p99 = results.ratio(with, without, Figure::P99).map(|ratio| {
        line(
            workload,
            "p99 of those who read",
            with.2,
            without.2,
            &format!("{ratio:.2}"),
            ratio,
            Bound::Most(1.1),
        )
    });
    let growth = results.figure(with, Figure::Growth).map(|growth| {
        line(
            workload,
            "memory after all events",
            with.2,
            "after six tenths",
            &format!("{growth:.2}"),
            growth,
            Bound::Most(1.05),
        )
    });
    let lost = results.each(with).map(|measured| {
        let stalled = measured.stalled.unwrap_or_default();
        (stalled.lost + stalled.repeated + stalled.strange) as f64
    });
    let lost = lost.reduce(f64::max).map(|lost| {
        line(
            workload,
            "of those who stopped, neither delivered nor told",
            with.2,
            "",
            &lost.to_string(),
            lost,
            Bound::Most(0.0),
        )
    });
    vec![p99, growth, lost]
}

fn overload(results: &Results) -> Vec<Option<String>> {
    let workload = Workload::W6;
    let key = |contender| (workload, contender, "");
    let missing = |measured: &Measured| (measured.lost + measured.repeated + measured.told) as f64;
    let mut lines = vec![results.ratio(key(Hyper), key(Floor), Figure::PerCpuSecond).map(|ratio| {
        let what = "deliveries per CPU second";
        line(workload, what, Hyper.title(), Floor.title(), &format!("{ratio:.2}"), ratio, Bound::Least(4.0))
    })];
    for ours in Contender::OURS {
        let most = results.each(key(*ours)).map(missing).reduce(f64::max);
        lines.push(most.map(|most| {
            line(
                workload,
                "lost or out of order",
                ours.title(),
                "",
                &most.to_string(),
                most,
                Bound::Most(0.0),
            )
        }));
    }
    lines
}

fn brokers(results: &Results) -> Vec<Option<String>> {
    let workload = Workload::W8;
    let runs = workload.runs(false);
    let pairs = runs.chunks_exact(2).map(|pair| {
        let [bare, clients] = [pair.first()?, pair.last()?].map(|run| (workload, Hyper, run.part));
        let more = results.difference(clients, bare, Figure::P99)?;
        let shown = format!("{more:+.1} ms");
        Some(line(workload, "p99", clients.2, bare.2, &shown, more, Bound::Most(3.0)))
    });
    pairs.collect()
}

/// The runs of a workload that has two of ours.
fn two(workload: Workload, results: &Results) -> Option<(Key, Key)> {
    let runs = workload.runs(false);
    let [one, other] = &runs[..] else { return None };
    let key = |part| (workload, Hyper, part);
    let (one, other) = (key(one.part), key(other.part));
    results.each(other).next()?;
    Some((one, other))
}

fn line(
    workload: Workload,
    what: &str,
    ours: &str,
    other: &str,
    shown: &str,
    measured: f64,
    bound: Bound,
) -> String {
    let name = workload.title().split(':').next().unwrap_or_default();
    let (aim, met) = match bound {
        Bound::Most(most) => (format!("≤ {most}"), measured <= most),
        Bound::Least(least) => (format!("≥ {least}"), measured >= least),
    };
    let met = if met { "met" } else { "**not met**" };
    format!("| {name}, {what} | {ours} | {other} | {shown} | {aim} | {met} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_met_or_not() {
        let cpu = |cpu_seconds| Measured { cpu_seconds, deliveries: 1, ..Measured::default() };
        let lost = Measured { lost: 3, ..cpu(1.0) };
        let round = [
            ((Workload::W1, Hyper, ""), cpu(1.4)),
            ((Workload::W1, Floor, ""), cpu(1.0)),
            ((Workload::W1, Nchan, ""), cpu(1.0)),
            ((Workload::W6, Hyper, ""), lost),
            ((Workload::W6, Floor, ""), cpu(5.0)),
        ];
        let table = table(&Results { rounds: vec![round.into()], failures: Vec::new() });
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| W1, CPU per delivery | ours behind hyper | floor | 1.40 | ≤ 1.5 | met |",
                "| W1, CPU per delivery | ours behind hyper | nchan | 1.40 | ≤ 0.8 | **not met** |",
                "| W6, deliveries per CPU second | ours behind hyper | floor | 5.00 | ≥ 4 | met |",
                "| W6, lost or out of order | ours behind hyper |  | 3 | ≤ 0 | **not met** |",
            ]
        );
    }
}
