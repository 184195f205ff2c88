//! Who waits for what: a message wakes only the clients that want it (I8). Pure but for the wakers it hands out.

use std::task::Waker;

use crate::{
    log::frame::{Batch, Facets, Kind},
    select::{
        Select,
        clause::Clause,
        expiry::{Expiries, Until},
        index::{Entry, Index},
    },
    stream::beat::ROUND,
};

/// The clients of a channel. A client has a slot from its first poll to its drop.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    count: usize,
    /// Slots that wait at the end of the log for whatever comes, each once.
    idle: Vec<usize>,
    /// Slots by the tick of a round at which they are due a heartbeat.
    beats: [Vec<usize>; ROUND as usize],
    /// Those whose time is limited.
    expiries: Expiries,
    /// Those with a selection, each by one of its clauses.
    index: Index,
    /// How many of them.
    selecting: usize,
    /// How many lists and entries of the index were looked at.
    #[cfg(test)]
    looks: usize,
}

#[derive(Debug)]
struct Slot {
    waker: Option<Waker>,
    wish: Option<Box<Wish>>,
    mark: Mark,
    /// Where it stands in `idle`, if it does.
    idle: Option<usize>,
    beat: Beat,
}

/// When a client is woken whatever comes.
#[derive(Debug)]
struct Beat {
    /// The tick of each round at which it is due a heartbeat: where it stands in `beats`.
    group: u8,
    place: usize,
    /// When its time is over.
    until: Until,
}

/// What a client wants, and where the index has it.
#[derive(Debug)]
struct Wish {
    select: Select,
    /// The clause that it is found by; any message that it wants has one of its values.
    clause: usize,
    /// Its place under each of them.
    places: Box<[usize]>,
}

/// How far a client with a selection may jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It reads on by itself.
    Reading,
    /// It waits; nothing that was appended since concerns it.
    Nothing,
    /// It waited; the first entry that concerns it has this number.
    First(u64),
}

impl Waiters {
    /// A client that is due a heartbeat at this tick of each round.
    pub(crate) fn add(&mut self, select: &Select, due: u64) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let wish = (!select.is_all()).then(|| Box::new(self.index(slot, select.clone())));
        self.selecting += usize::from(wish.is_some());
        let group = (due % ROUND) as u8;
        let beat = Beat { group, place: self.beats[usize::from(group)].len(), until: Until::NEVER };
        self.beats[usize::from(group)].push(slot);
        self.slots[slot] = Some(Slot { waker: None, wish, mark: Mark::Reading, idle: None, beat });
        self.count += 1;
        slot
    }

    pub(crate) fn remove(&mut self, slot: usize) {
        let Some(Slot { wish, idle, beat: Beat { group, place, until }, .. }) =
            self.slots.get_mut(slot).and_then(Option::take)
        else {
            return;
        };
        if until != Until::NEVER {
            let slots = &self.slots;
            self.expiries.remove(|slot| Some(slots.get(slot)?.as_ref()?.beat.until));
        }
        if let Some(place) = idle {
            self.idle.swap_remove(place);
            if let Some(moved) = self.idle.get(place)
                && let Some(Some(moved)) = self.slots.get_mut(*moved)
            {
                moved.idle = Some(place);
            }
        }
        let group = &mut self.beats[usize::from(group)];
        group.swap_remove(place);
        if let Some(moved) = group.get(place)
            && let Some(Some(moved)) = self.slots.get_mut(*moved)
        {
            moved.beat.place = place;
        }
        if let Some(wish) = wish {
            self.selecting -= 1;
            self.unindex(slot, *wish);
        }
        self.free.push(slot);
        self.count -= 1;
    }

    /// The client's time is over at this tick.
    pub(crate) fn ends_at(&mut self, slot: usize, until: Until) {
        if let Some(Some(client)) = self.slots.get_mut(slot) {
            let before = std::mem::replace(&mut client.beat.until, until);
            self.expiries.add(slot, until, before == Until::NEVER);
        }
    }

    /// Puts a client where the fewest others are, so that one thing which all of them want finds none of them.
    fn index(&mut self, slot: usize, mut select: Select) -> Wish {
        let clause = select.settle(&|facet| self.index.count(facet));
        let facets = select.clause(clause).map(Clause::facets).unwrap_or_default();
        let places =
            (0..).zip(facets).map(|(nth, facet)| self.index.insert(facet, Entry { slot, nth })).collect();
        Wish { select, clause, places }
    }

    /// Takes it out. Whoever stood last under a facet takes its place there, so nobody is looked for.
    fn unindex(&mut self, slot: usize, wish: Wish) {
        let Wish { select, clause, mut places } = wish;
        let Some(clause) = select.clause(clause) else { return };
        for (nth, facet) in clause.facets().into_iter().enumerate() {
            let place = places[nth];
            let Some(moved) = self.index.remove(facet, place) else { continue };
            if moved.slot == slot {
                // One value stands twice in the clause.
                places[moved.nth] = place;
            } else if let Some(Some(Slot { wish: Some(other), .. })) = self.slots.get_mut(moved.slot) {
                other.places[moved.nth] = place;
            }
        }
    }

    /// How many clients there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The client has read everything and waits: for what its selection wants, or for whatever comes.
    pub(crate) fn park(&mut self, slot: usize, whatever: bool, waker: &Waker) {
        let Some(Some(client)) = self.slots.get_mut(slot) else { return };
        if whatever || client.wish.is_none() {
            client.mark = Mark::Reading;
            if client.idle.is_none() {
                client.idle = Some(self.idle.len());
                self.idle.push(slot);
            }
        } else {
            client.mark = Mark::Nothing;
        }
        match &mut client.waker {
            Some(old) if old.will_wake(waker) => {}
            old => *old = Some(waker.clone()),
        }
    }

    /// The client waits for something else than the log; only what concerns everybody wakes it.
    pub(crate) fn watch(&mut self, slot: usize, waker: &Waker) {
        if let Some(Some(client)) = self.slots.get_mut(slot) {
            client.mark = Mark::Reading;
            client.waker = Some(waker.clone());
        }
    }

    /// Whether it waits with a selection, and nothing that was appended since concerns it.
    pub(crate) fn is_parked(&self, slot: usize) -> bool {
        matches!(self.slots.get(slot), Some(Some(client)) if client.mark == Mark::Nothing)
    }

    /// The client is here again: how far may it jump? It reads by itself from now on.
    pub(crate) fn unpark(&mut self, slot: usize) -> Mark {
        match self.slots.get_mut(slot) {
            Some(Some(client)) => std::mem::replace(&mut client.mark, Mark::Reading),
            _ => Mark::Reading,
        }
    }

    /// Marks everybody whom the batch concerns, and gives the wakers of those who wait.
    pub(crate) fn appended(&mut self, batch: &Batch, wakers: &mut Vec<Waker>) {
        for slot in std::mem::take(&mut self.idle) {
            if let Some(Some(client)) = self.slots.get_mut(slot) {
                client.idle = None;
                if client.mark == Mark::Reading {
                    wakers.extend(client.waker.take());
                }
            }
        }
        for (frame, seq) in batch.frames.iter().zip(batch.first..) {
            match &frame.kind {
                Kind::Message(_, facets) if self.selecting > 0 => self.mark(facets, seq, wakers),
                Kind::Message(..) | Kind::Skip(_) => {}
                Kind::Gap(..) | Kind::Epoch(_) => self.mark_all(seq, wakers),
            }
        }
    }

    /// The wakers of those who are due a heartbeat at a tick, or whose time is over then. They go on waiting for what they
    /// waited for.
    pub(crate) fn beat(&mut self, tick: u64, wakers: &mut Vec<Waker>) {
        let waker = |slot: usize| self.slots.get(slot)?.as_ref()?.waker.clone();
        wakers.extend(self.expiries.due(tick).filter_map(waker));
        let group = &self.beats[(tick % ROUND) as usize];
        wakers.extend(group.iter().filter_map(|slot| waker(*slot)));
    }

    /// The wakers of everybody, for what concerns all.
    pub(crate) fn all(&mut self, wakers: &mut Vec<Waker>) {
        self.idle.clear();
        for client in self.slots.iter_mut().flatten() {
            client.idle = None;
            wakers.extend(client.waker.take());
        }
    }

    fn mark(&mut self, facets: &Facets, seq: u64, wakers: &mut Vec<Waker>) {
        let slots = &mut self.slots;
        #[cfg(test)]
        let looks = &mut self.looks;
        self.index.find(facets, &mut |entries| {
            #[cfg(test)]
            {
                *looks += 1 + entries.len();
            }
            for entry in entries {
                if let Some(Some(client)) = slots.get_mut(entry.slot)
                    && client.mark == Mark::Nothing
                    && client.wish.as_ref().is_some_and(|wish| wish.select.matches(facets))
                {
                    client.mark = Mark::First(seq);
                    wakers.extend(client.waker.take());
                }
            }
        });
    }

    fn mark_all(&mut self, seq: u64, wakers: &mut Vec<Waker>) {
        for client in self.slots.iter_mut().flatten() {
            if client.wish.is_some() && client.mark == Mark::Nothing {
                client.mark = Mark::First(seq);
                wakers.extend(client.waker.take());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{Arc, Mutex},
        task::Wake,
    };

    use bytes::Bytes;
    use tidewater_core::{EpochTag, Position, TopicTag, sse::EventName};
    use tokio::time::Instant;

    use super::*;
    use crate::{
        log::frame::{At, Frame},
        select::Pattern,
    };

    const MANY: usize = 15_000;

    type Woken = Arc<Mutex<BTreeSet<usize>>>;

    /// A waker that tells which client it is of.
    struct Flag(usize, Woken);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().insert(self.0);
        }
    }

    /// Clients by a number of their own.
    #[derive(Default)]
    struct Clients {
        waiters: Waiters,
        woken: Woken,
        slots: Vec<Option<(usize, Select)>>,
    }

    impl Clients {
        fn come(&mut self, select: Select) -> usize {
            let (number, slot) = (self.slots.len(), self.waiters.add(&select, 0));
            self.slots.push(Some((slot, select)));
            self.park(number);
            number
        }

        fn park(&mut self, number: usize) {
            let Some((slot, _)) = &self.slots[number] else { return };
            let waker = Waker::from(Arc::new(Flag(number, self.woken.clone())));
            self.waiters.park(*slot, false, &waker);
        }

        fn go(&mut self, number: usize) {
            if let Some((slot, _)) = self.slots[number].take() {
                self.waiters.remove(slot);
            }
        }

        /// Who is woken by a message, and how much was looked at for it. They wait again after it.
        fn message(&mut self, facets: &Facets) -> (BTreeSet<usize>, usize) {
            self.waiters.looks = 0;
            let mut wakers = Vec::new();
            self.waiters.appended(&batch(facets), &mut wakers);
            wakers.into_iter().for_each(Waker::wake);
            let woken = std::mem::take(&mut *self.woken.lock().unwrap());
            woken.iter().for_each(|number| self.park(*number));
            (woken, self.waiters.looks)
        }
    }

    fn batch(facets: &Facets) -> Batch {
        let at = At {
            tag: TopicTag::default(),
            epoch: EpochTag::default(),
            partition: 0,
            position: Position::Offset(0),
        };
        let kind = Kind::Message(at, Arc::new(facets.clone()));
        let frames = [Frame { kind, id_at: 0, end: 0 }].into();
        Batch::new(Arc::default(), Arc::default(), frames, Bytes::new(), Instant::now())
    }

    fn facets(n: usize) -> Facets {
        Facets {
            topic: Some(format!("orders.{n}.paid").into()),
            key: Some(format!("k{n}").into()),
            event: Some(EventName::new(&format!("e{n}")).unwrap()),
            tags: vec![format!("t{n}").into(), "everybody".into()],
        }
    }

    fn like(text: impl AsRef<str>) -> Pattern {
        Pattern::parse(text.as_ref()).unwrap()
    }

    /// Ways for a client to want what only it wants.
    const WAYS: [fn(usize) -> Select; 13] = [
        |n| Select::key(format!("k{n}")),
        |n| Select::topic(format!("orders.{n}.paid")),
        |n| Select::topic(format!("orders.{n}.*")),
        |n| Select::topic(format!("*.{n}.>")),
        |n| Select::tag(format!("t{n}")),
        |n| Select::event(format!("e{n}")),
        |n| Select::keys_like([like(format!("k{n}*"))]).and(Select::tag(format!("t{n}"))),
        |n| Select::tags_like([like(format!("t{n}")), like(format!("own.{n}.*"))]),
        |n| Select::any([Select::key(format!("k{n}")), Select::topic(format!("other.{n}.>"))]),
        // By the clause that is its own, whatever kind the others are of.
        |n| {
            let both = Select::tag("everybody").and(Select::event(format!("e{n}")));
            Select::any([both, Select::key(format!("other{n}"))]).and(Select::topic("orders.>"))
        },
        |n| Select::key(format!("k{n}")).and(Select::topic("orders.>")),
        |n| Select::tag("everybody").and(Select::event(format!("e{n}"))),
        |n| {
            Select::tag("everybody")
                .and(Select::topic(format!("orders.{n}.*")))
                .and(Select::event(format!("e{n}")))
        },
    ];

    /// What each idle client costs, an end to its time included: it went where there was room.
    #[test]
    fn a_slot_is_no_larger_than_it_was() {
        assert_eq!(size_of::<Option<Slot>>(), 72);
    }

    /// I8: however many clients there are, a message looks at its own and wakes them.
    #[test]
    fn i8_a_message_costs_the_same_whatever_the_number_of_clients() {
        for (way, select) in WAYS.iter().enumerate() {
            let looks = [10, MANY].map(|count| {
                let mut clients = Clients::default();
                for n in 0..count {
                    clients.come(select(n));
                }
                let (woken, looks) = clients.message(&facets(7));
                assert_eq!(woken, [7].into(), "way {way}");
                let (woken, _) = clients.message(&facets(MANY + 1));
                assert_eq!(woken, [].into(), "way {way}");
                looks
            });
            assert_eq!(looks[0], looks[1], "way {way}");
            assert!(looks[1] < 12, "way {way}: {looks:?}");
        }
    }

    /// I8: a crowd under one facet, of which each leaves at its own cost.
    #[test]
    fn clients_that_leave_a_crowd_leave_nothing_behind() {
        let twice = Select::any([Select::key("k1"), Select::key("k1").and(Select::topic("x"))]);
        for select in [
            Select::topic("orders.1.paid"),
            Select::topic("orders.*.>"),
            Select::keys(["k1", "x", "k1"]),
            Select::keys_like([like("k*"), like("x")]),
            Select::any([Select::tag("t1"), Select::tags_like([like("every*")])]),
            twice,
        ] {
            let mut clients = Clients::default();
            for _ in 0..MANY {
                clients.come(select.clone());
            }
            let mut order: Vec<_> = (0..MANY).collect();
            fastrand::Rng::with_seed(1).shuffle(&mut order);
            let (stay, leave) = order.split_at(3);
            leave.iter().for_each(|number| clients.go(*number));
            assert_eq!(clients.message(&facets(1)).0, stay.iter().copied().collect());
            stay.iter().for_each(|number| clients.go(*number));
            assert_eq!(clients.message(&facets(1)), ([].into(), 0));
            assert_eq!(format!("{:?}", clients.waiters.index), format!("{:?}", Index::default()));
        }
    }

    /// I8: whatever comes and goes, the index finds those whose selection matches, and nobody else.
    #[test]
    fn the_index_finds_whom_looking_at_everybody_finds() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut clients = Clients::default();
            for _ in 0..60 {
                let token = |rng: &mut fastrand::Rng| rng.choice(["a", "b"]).unwrap();
                let simple = |rng: &mut fastrand::Rng| {
                    let values: Vec<_> = (0..rng.usize(..3)).map(|_| token(rng)).collect();
                    let patterns = ["a", "b", "a*", "ab*", "b*", "*"];
                    let patterns: Vec<_> =
                        (0..rng.usize(..3)).map(|_| like(patterns[rng.usize(..patterns.len())])).collect();
                    let topics = ["a", "a.b", "*", "a.*", "*.b", ">", "a.>", "*.*.a", "b.>"];
                    match rng.u8(..7) {
                        0 => Select::keys(values),
                        1 => Select::tags(values),
                        2 => Select::events(values),
                        3 => Select::keys_like(patterns),
                        4 => Select::tags_like(patterns),
                        _ => Select::topics((0..=rng.usize(..2)).map(|_| topics[rng.usize(..topics.len())])),
                    }
                };
                let clause =
                    |rng: &mut fastrand::Rng| match rng.u8(..4) {
                        0 => Select::any((0..rng.usize(..4)).map(|_| {
                            (0..rng.usize(..3)).fold(simple(rng), |select, _| select.and(simple(rng)))
                        })),
                        _ => simple(rng),
                    };
                match rng.u8(..4) {
                    0 if !clients.slots.is_empty() => {
                        let number = rng.usize(..clients.slots.len());
                        clients.go(number);
                    }
                    0..3 => {
                        let clauses = rng.usize(1..4);
                        let select = (0..clauses).fold(Select::all(), |all, _| all.and(clause(&mut rng)));
                        clients.come(select);
                    }
                    _ => {
                        let topic: Vec<_> = (0..rng.usize(1..4)).map(|_| token(&mut rng)).collect();
                        let facets = Facets {
                            topic: Some(topic.join(".").into()),
                            key: rng.bool().then(|| (token(&mut rng).to_owned() + token(&mut rng)).into()),
                            event: Some(EventName::new(token(&mut rng)).unwrap()),
                            tags: vec![token(&mut rng).into(), (token(&mut rng).to_owned() + "b").into()],
                        };
                        let wanted = |slot: &Option<(usize, Select)>| {
                            slot.as_ref().is_some_and(|(_, select)| select.matches(&facets))
                        };
                        let expected = (0..)
                            .zip(&clients.slots)
                            .filter(|(_, slot)| wanted(slot))
                            .map(|(n, _)| n)
                            .collect();
                        assert_eq!(clients.message(&facets).0, expected, "seed {seed}: {facets:?}");
                    }
                }
            }
        }
    }
}
