//! All that was measured, by round.

use std::collections::BTreeMap;

use super::{
    contender::Contender,
    measured::{Figure, Measured},
    workload::Workload,
};

/// Which run.
pub(super) type Key = (Workload, Contender, &'static str);

/// What each round brought.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) rounds: Vec<BTreeMap<Key, Measured>>,
    /// Runs that came to nothing, and why.
    pub(super) failures: Vec<String>,
}

impl Results {
    /// The median over the rounds.
    pub(super) fn figure(&self, key: Key, figure: Figure) -> Option<f64> {
        self.each(key).map(|measured| measured.figure(figure)).collect::<Median>().0
    }

    /// The median over the rounds of one figure by another, both of the same round: a machine that is slow for a while
    /// is so for both.
    pub(super) fn ratio(&self, one: Key, other: Key, figure: Figure) -> Option<f64> {
        self.pairs(one, other, figure).map(|(one, other)| one / other).collect::<Median>().0
    }

    /// The same of differences.
    pub(super) fn difference(&self, one: Key, other: Key, figure: Figure) -> Option<f64> {
        self.pairs(one, other, figure).map(|(one, other)| one - other).collect::<Median>().0
    }

    /// The run's results, a round after the other.
    pub(super) fn each(&self, key: Key) -> impl Iterator<Item = &Measured> {
        self.rounds.iter().filter_map(move |round| round.get(&key))
    }

    /// Whether there is anything of this workload.
    pub(super) fn has(&self, workload: Workload) -> bool {
        self.rounds.iter().flat_map(BTreeMap::keys).any(|(of, ..)| *of == workload)
    }

    fn pairs(&self, one: Key, other: Key, figure: Figure) -> impl Iterator<Item = (f64, f64)> {
        self.rounds.iter().filter_map(move |round| {
            Some((round.get(&one)?.figure(figure), round.get(&other)?.figure(figure)))
        })
    }
}

/// The middle one, or what lies between the two in the middle.
pub(in crate::bench) struct Median(pub(in crate::bench) Option<f64>);

impl FromIterator<f64> for Median {
    fn from_iter<I: IntoIterator<Item = f64>>(of: I) -> Self {
        let mut of: Vec<f64> = of.into_iter().filter(|number| number.is_finite()).collect();
        of.sort_by(f64::total_cmp);
        let half = of.len() / 2;
        Self(match of.len() {
            0 => None,
            len if len % 2 == 0 => Some(f64::midpoint(of[half - 1], of[half])),
            _ => Some(of[half]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Key = (Workload::W1, Contender::Hyper, "");
    const OTHER: Key = (Workload::W1, Contender::Floor, "");

    #[test]
    fn ratios_are_taken_within_rounds() {
        let measured = |cpu_seconds| Measured { cpu_seconds, deliveries: 1_000_000, ..Measured::default() };
        let rounds = [(10.0, 5.0), (30.0, 10.0), (20.0, 20.0)]
            .map(|(ours, other)| [(OURS, measured(ours)), (OTHER, measured(other))].into());
        let results = Results { rounds: rounds.into(), failures: Vec::new() };
        assert_eq!(results.figure(OURS, Figure::Cpu), Some(20.0));
        assert_eq!(results.ratio(OURS, OTHER, Figure::Cpu), Some(2.0));
        assert_eq!(results.difference(OURS, OTHER, Figure::Cpu), Some(5.0));
        assert_eq!(results.ratio(OURS, (Workload::W2, Contender::Floor, ""), Figure::Cpu), None);
        assert!(results.has(Workload::W1) && !results.has(Workload::W2));
    }
}
