//! What the fan-out is meant to reach, and whether it does.

use super::{
    contender::Contender::{self, Direct, DirectTokens, Floor, HandHyper, Hyper, Nchan, Rocket, Salvo, Warp},
    measured::{Figure, Measured},
    results::Results,
    workload::{Run, Workload},
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
            let below = |peer: &Contender| against(cpu, Direct, *peer, Figure::Cpu, Bound::Most(1.0));
            let mut lines = vec![
                against(cpu, Direct, Floor, Figure::Cpu, Bound::Most(1.1)),
                against(cpu, DirectTokens, Direct, Figure::Cpu, Bound::Most(1.05)),
            ];
            lines.extend([Nchan].iter().chain(Contender::HAND).map(below));
            lines.extend([
                against(cpu, Hyper, Floor, Figure::Cpu, Bound::Most(1.5)),
                against(cpu, Hyper, Nchan, Figure::Cpu, Bound::Most(0.8)),
                by_hand(cpu, Warp, Figure::Cpu, Bound::Most(0.85)),
                by_hand(cpu, Salvo, Figure::Cpu, Bound::Most(0.85)),
                by_hand(cpu, Rocket, Figure::Cpu, Bound::Most(0.6)),
            ]);
            lines
        }
        Workload::W1w8 => {
            let cpu = "CPU per delivery";
            vec![
                against(cpu, Direct, Floor, Figure::Cpu, Bound::Most(0.3)),
                against(cpu, Hyper, HandHyper, Figure::Cpu, Bound::Most(0.8)),
                against(cpu, Hyper, Nchan, Figure::Cpu, Bound::Most(0.25)),
            ]
        }
        Workload::W2 => {
            let memory = "memory per connection";
            vec![
                results.figure(key(Direct), Figure::Memory).map(|bytes| {
                    let shown = format!("{bytes:.0} B");
                    line(workload, memory, Direct.title(), "", &shown, bytes, Bound::Most(1000.0))
                }),
                against(memory, DirectTokens, Direct, Figure::Memory, Bound::Most(1.05)),
                accepted(results),
                against(memory, Hyper, Nchan, Figure::Memory, Bound::Most(1.0)),
                by_hand(memory, Warp, Figure::Memory, Bound::Most(0.85)),
                by_hand(memory, Salvo, Figure::Memory, Bound::Most(0.85)),
                by_hand(memory, Rocket, Figure::Memory, Bound::Most(0.85)),
            ]
        }
        Workload::W3 => {
            let mut lines = vec![against("p50", Direct, Floor, Figure::P50, Bound::Most(1.1))];
            for peer in [Nchan].iter().chain(Contender::HAND) {
                lines.push(against("p99", Direct, *peer, Figure::P99, Bound::Most(1.0)));
            }
            for (what, figure) in [("p50", Figure::P50), ("p99", Figure::P99)] {
                lines.push(against(what, Hyper, Nchan, figure, Bound::Most(1.0)));
                for ours in Contender::OURS {
                    lines.push(by_hand(what, *ours, figure, Bound::Most(1.0)));
                }
            }
            lines
        }
        Workload::W5 => [Direct, Hyper].iter().flat_map(|ours| stalled(results, *ours)).collect(),
        Workload::W6 => overload(results),
        Workload::W7 => [Direct, Hyper].map(|ours| selection(results, ours)).to_vec(),
        Workload::W8 => brokers(results),
        Workload::W1p => vec![],
    };
    lines.into_iter().flatten().collect()
}

/// So many a second, or as many as nchan.
fn accepted(results: &Results) -> Option<String> {
    const RATE: f64 = 25_000.0;
    let workload = Workload::W2;
    let [ours, nchan] = [Direct, Nchan].map(|contender| (workload, contender, ""));
    let rate = results.figure(ours, Figure::Accepted)?;
    let ratio = results.ratio(ours, nchan, Figure::Accepted);
    let shown = ratio.map_or(String::new(), |ratio| format!(" ({ratio:.2} of {})", Nchan.title()));
    let shown = format!("{rate:.0}/s{shown}");
    let what = "streams accepted, in parts of 25,000/s or of nchan's";
    let measured = (rate / RATE).max(ratio.unwrap_or_default());
    Some(line(workload, what, Direct.title(), "", &shown, measured, Bound::Least(1.0)))
}

fn selection(results: &Results, ours: Contender) -> Option<String> {
    let (few, many) = two(Workload::W7, results, ours)?;
    let ratio = results.ratio(many.key(Workload::W7), few.key(Workload::W7), Figure::CpuPerEvent)?;
    let shown = format!("{ratio:.2}");
    Some(line(Workload::W7, "CPU per message", &many.title(), few.part, &shown, ratio, Bound::Most(1.2)))
}

fn stalled(results: &Results, ours: Contender) -> Vec<Option<String>> {
    let workload = Workload::W5;
    let Some((without, with)) = two(workload, results, ours) else { return Vec::new() };
    let title = with.title();
    let p99 = results.ratio(with.key(workload), without.key(workload), Figure::P99).map(|ratio| {
        let shown = format!("{ratio:.2}");
        line(workload, "p99 of those who read", &title, without.part, &shown, ratio, Bound::Most(1.1))
    });
    let growth = results.figure(with.key(workload), Figure::Growth).map(|growth| {
        let (what, shown) = ("memory after all events", format!("{growth:.2}"));
        line(workload, what, &title, "after six tenths", &shown, growth, Bound::Most(1.05))
    });
    let lost = results.each(with.key(workload)).map(|measured| {
        let stalled = measured.stalled.unwrap_or_default();
        (stalled.lost + stalled.repeated + stalled.strange) as f64
    });
    let lost = lost.reduce(f64::max).map(|lost| {
        let what = "of those who stopped, neither delivered nor told";
        line(workload, what, &title, "", &lost.to_string(), lost, Bound::Most(0.0))
    });
    vec![p99, growth, lost]
}

fn overload(results: &Results) -> Vec<Option<String>> {
    let workload = Workload::W6;
    let key = |contender| (workload, contender, "");
    let missing = |measured: &Measured| (measured.lost + measured.repeated + measured.told) as f64;
    let batches = |ours: Contender, least| {
        let ratio = results.ratio(key(ours), key(Floor), Figure::PerCpuSecond)?;
        let (what, shown) = ("deliveries per CPU second", format!("{ratio:.2}"));
        Some(line(workload, what, ours.title(), Floor.title(), &shown, ratio, Bound::Least(least)))
    };
    let mut lines = vec![batches(Direct, 6.0), batches(Hyper, 4.0)];
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
        let [bare, clients] = pair else { return None };
        let more = results.difference(clients.key(workload), bare.key(workload), Figure::P99)?;
        let shown = format!("{more:+.1} ms");
        Some(line(workload, "p99", clients.part, bare.part, &shown, more, Bound::Most(3.0)))
    });
    pairs.collect()
}

/// The runs of a workload that has two for each of ours.
fn two(workload: Workload, results: &Results, ours: Contender) -> Option<(Run, Run)> {
    let mut runs = workload.runs(false).into_iter().filter(|run| run.contender == ours);
    let (one, other) = (runs.next()?, runs.next()?);
    results.each(other.key(workload)).next()?;
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
