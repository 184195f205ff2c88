//! Which parts of the tests can run, and why the others cannot.

use std::{collections::BTreeMap, str::FromStr};

use super::{Fix, Need, State, System};

/// A part of the tests that runs or does not, by what is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Those that need Kafka.
    Kafka,
    /// Those that start (and break) a Kafka of their own.
    OwnKafka,
    /// Those that need NATS.
    Nats,
    /// Those that start (and break) a nats-server of their own.
    OwnNats,
    /// Those that need Chrome or Chromium.
    Chromium,
    /// Those that need Firefox.
    Firefox,
    /// Those that need packages from npm.
    Npm,
    /// Those that start an nginx.
    Nginx,
    /// Those that start an HAProxy.
    Haproxy,
}

impl Part {
    const ALL: [Self; 9] = [
        Self::Kafka,
        Self::OwnKafka,
        Self::Nats,
        Self::OwnNats,
        Self::Chromium,
        Self::Firefox,
        Self::Npm,
        Self::Nginx,
        Self::Haproxy,
    ];

    /// What a test's mark (`needs Kafka and Firefox: …`, in small letters) asks for.
    pub(crate) fn of_mark(mark: &str) -> Vec<Self> {
        let words = [
            (Self::Kafka, "kafka"),
            (Self::OwnKafka, "kafka of its own"),
            (Self::Nats, "nats"),
            (Self::OwnNats, "nats of its own"),
            (Self::Chromium, "chromium"),
            (Self::Firefox, "firefox"),
            (Self::Npm, "npm"),
            (Self::Nginx, "nginx"),
            (Self::Haproxy, "haproxy"),
        ];
        let mut parts: Vec<Self> =
            words.iter().filter(|(_, word)| mark.contains(word)).map(|(part, _)| *part).collect();
        // A broker of one's own is all the broker that is needed.
        if parts.contains(&Self::OwnKafka) {
            parts.retain(|part| *part != Self::Kafka);
        }
        if parts.contains(&Self::OwnNats) {
            parts.retain(|part| *part != Self::Nats);
        }
        parts
    }

    fn words(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::OwnKafka => "tests with a Kafka of their own",
            Self::Nats => "nats",
            Self::OwnNats => "tests with a nats-server of their own",
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
            Self::Npm => "npm",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// The part that says it all if it lacks too.
    fn within(self) -> Option<Self> {
        match self {
            Self::OwnKafka => Some(Self::Kafka),
            Self::OwnNats => Some(Self::Nats),
            _ => None,
        }
    }
}

/// Parts that must run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Required {
    kafka: bool,
    nats: bool,
    chromium: bool,
    firefox: bool,
    npm: bool,
    nginx: bool,
    haproxy: bool,
}

impl Required {
    pub(crate) const ALL: Self = Self {
        kafka: true,
        nats: true,
        chromium: true,
        firefox: true,
        npm: true,
        nginx: true,
        haproxy: true,
    };

    fn has(self, part: Part) -> bool {
        match part {
            Part::Kafka | Part::OwnKafka => self.kafka,
            Part::Nats | Part::OwnNats => self.nats,
            Part::Chromium => self.chromium,
            Part::Firefox => self.firefox,
            Part::Npm => self.npm,
            Part::Nginx => self.nginx,
            Part::Haproxy => self.haproxy,
        }
    }
}

impl FromStr for Required {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut required = Self::default();
        for word in text.split(',') {
            match word.trim() {
                "all" => required = Self::ALL,
                "kafka" => required.kafka = true,
                "nats" => required.nats = true,
                "chromium" => required.chromium = true,
                "firefox" => required.firefox = true,
                "npm" => required.npm = true,
                "nginx" => required.nginx = true,
                "haproxy" => required.haproxy = true,
                other => {
                    return Err(format!(
                        "{other:?} is none of all, kafka, nats, chromium, firefox, npm, nginx and haproxy"
                    ));
                }
            }
        }
        Ok(required)
    }
}

/// What runs here.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Whether the crates that bring Kafka can be built.
    pub(crate) builds_kafka: bool,
    /// Whether those that bring NATS can.
    pub(crate) builds_nats: bool,
    lacking: BTreeMap<Part, String>,
}

impl Plan {
    pub(crate) fn new(needs: &[Need]) -> Self {
        let missing = |part: Part| {
            needs
                .iter()
                .filter(move |need| need.parts.contains(&part) && matches!(need.state, State::Missing { .. }))
        };
        let lacking = Part::ALL.into_iter().filter_map(|part| Some((part, reason(missing(part))?)));
        Self {
            builds_kafka: !missing(Part::Kafka).any(|need| need.builds),
            builds_nats: !missing(Part::Nats).any(|need| need.builds),
            lacking: lacking.collect(),
        }
    }

    pub(crate) fn runs(&self, part: Part) -> bool {
        !self.lacking.contains_key(&part)
    }

    /// A part that was thought to run does not, e.g. because its broker does not start.
    pub(crate) fn lack(&mut self, part: Part, why: String) {
        self.lacking.entry(part).or_insert(why);
    }

    /// `kafka (no make; install: …), firefox (…)`, of all that does not run; none if all does.
    pub(crate) fn partial(&self) -> Option<String> {
        self.told(|_| true)
    }

    /// The same, of what is required and does not run.
    pub(crate) fn unmet(&self, required: Required) -> Option<String> {
        self.told(|part| required.has(part))
    }

    fn told(&self, wanted: impl Fn(Part) -> bool) -> Option<String> {
        let said = self.lacking.iter().filter(|(part, _)| {
            wanted(**part) && !part.within().is_some_and(|whole| self.lacking.contains_key(&whole))
        });
        let said: Vec<String> = said.map(|(part, why)| format!("{} ({why})", part.words())).collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
}

/// `no make, no C++ compiler; install: …`
fn reason<'a>(missing: impl Iterator<Item = &'a Need>) -> Option<String> {
    let (mut why, mut packages, mut words) = (Vec::new(), Vec::new(), Vec::new());
    for need in missing {
        if let State::Missing { why: one, fix, .. } = &need.state {
            why.push(one.clone());
            match fix {
                Fix::Packages(names) => packages.extend(names.iter().copied()),
                Fix::Words(text) => words.extend((!text.is_empty()).then(|| text.clone())),
            }
        }
    }
    if why.is_empty() {
        return None;
    }
    let mut text = why.join(", ");
    if !packages.is_empty() {
        text.push_str(&format!("; install: {}", System::here().install(&packages)));
    }
    for more in words {
        text.push_str(&format!("; {more}"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(name: &'static str, parts: &[Part], builds: bool, state: State) -> Need {
        Need { name, state, purpose: "", parts: parts.to_vec(), builds }
    }

    #[test]
    fn what_is_missing_takes_its_parts_along() {
        use Part::{Chromium, Firefox, Kafka, Nats, OwnKafka};
        let needs = [
            need("make", &[Kafka, OwnKafka], true, State::missing("no make", &["make"])),
            need("Java", &[Kafka, OwnKafka], false, State::Found("java".into())),
            need("nats-server", &[Nats], false, State::Obtainable("go install".into())),
            need("Chromium", &[Chromium], false, State::Found("chromium".into())),
            need("Firefox", &[Firefox], false, State::missing("no Firefox", &["firefox-esr"])),
        ];
        let plan = Plan::new(&needs);
        assert!(!plan.builds_kafka && plan.builds_nats);
        assert!(!plan.runs(Kafka) && plan.runs(Nats) && plan.runs(Chromium) && !plan.runs(Firefox));
        let partial = plan.partial().unwrap();
        assert!(partial.starts_with("kafka (no make; install: "), "{partial}");
        assert!(partial.contains("), firefox (no Firefox; "), "{partial}");
        assert!(!partial.contains("of their own"), "said by the whole: {partial}");
        assert!(plan.unmet("nats,chromium".parse().unwrap()).is_none());
        assert!(plan.unmet("nats,firefox".parse().unwrap()).unwrap().starts_with("firefox ("));
        assert!(plan.unmet(Required::ALL).unwrap().starts_with("kafka ("));
    }

    #[test]
    fn a_broker_that_does_not_start_is_lacking() {
        let mut plan = Plan::new(&[]);
        assert!(plan.partial().is_none() && plan.builds_kafka);
        plan.lack(Part::Nats, "it does not start".into());
        assert_eq!(plan.partial().unwrap(), "nats (it does not start)");
        assert!(plan.builds_nats);
    }

    #[test]
    fn marks_name_parts() {
        assert_eq!(Part::of_mark("needs kafka and chromium: run"), [Part::Kafka, Part::Chromium]);
        assert_eq!(Part::of_mark("needs a kafka of its own: run"), [Part::OwnKafka]);
        assert_eq!(Part::of_mark("needs kafka and a nats of its own: run"), [Part::Kafka, Part::OwnNats]);
        assert_eq!(Part::of_mark("needs nats and firefox: run"), [Part::Nats, Part::Firefox]);
        assert_eq!(Part::of_mark("needs npm and chromium: run"), [Part::Chromium, Part::Npm]);
        assert_eq!(
            Part::of_mark("needs nats, nginx and firefox: run"),
            [Part::Nats, Part::Firefox, Part::Nginx]
        );
        assert_eq!(Part::of_mark("needs haproxy: run"), [Part::Haproxy]);
        assert_eq!(Part::of_mark("needs the gateway: run"), []);
    }

    #[test]
    fn required_parts_are_a_list() {
        assert_eq!("all".parse(), Ok(Required::ALL));
        assert_eq!("kafka, firefox,nats,chromium,npm,haproxy,nginx".parse(), Ok(Required::ALL));
        assert!("chrome".parse::<Required>().unwrap_err().contains("none of all"));
    }
}
