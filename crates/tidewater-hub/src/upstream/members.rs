//! The channels of one upstream, and where it is. No task, no I/O: what comes is handed in.

use std::{fmt, sync::Arc, time::Duration};

use tidewater_core::{Bounds, Cursor, Delivery, Error, ErrorKind, Result, TopicTag};
use tokio::{task::yield_now, time::Instant};

use crate::{render::Press, resume::Topics, state::Shared, status::UpstreamState};

/// About how many bytes a batch holds: what one write to a client that is behind takes.
const BATCH_BYTES: usize = 64 << 10;
/// The longest id that goes out unless the channel allows more, in characters: with the default limits of the
/// proxies in front (nginx: 8 KiB for all headers together) a client could not send a longer one back.
const MAX_ID: usize = 4 << 10;

/// The channels of one upstream. The head of each that has begun is the upstream's position.
#[derive(Default)]
pub(super) struct Members {
    all: Vec<Member>,
    /// After everything that was delivered; `None` until the upstream has started once.
    position: Option<Cursor>,
    topics: Topics,
    /// How many partitions each topic has.
    partitions: Vec<(TopicTag, usize)>,
    standing: UpstreamState,
    error: Option<Arc<Error>>,
    all_refused: bool,
    /// Channels that have begun at the position, and are to be pre-warmed.
    begun: Vec<Arc<Shared>>,
}

struct Member {
    shared: Arc<Shared>,
    /// `None` until the channel begins: while the upstream has no position, or the channel is refused.
    press: Option<Press>,
    /// When what is held back for others to come is appended.
    due: Option<Instant>,
    refused: bool,
}

impl Members {
    /// Where the upstream is.
    pub(super) fn position(&self) -> Option<&Cursor> {
        self.position.as_ref()
    }

    /// Whether the last [`know`](Self::know) found none that can be served.
    pub(super) fn all_refused(&self) -> bool {
        self.all_refused
    }

    /// Takes up the channels that are new, where the upstream is now, and forgets those that are gone.
    pub(super) fn sync(&mut self, joined: &[Arc<Shared>]) {
        self.all.retain(|member| joined.iter().any(|shared| Arc::ptr_eq(shared, &member.shared)));
        for shared in joined {
            if !self.all.iter().any(|member| Arc::ptr_eq(shared, &member.shared)) {
                self.all.push(Member { shared: shared.clone(), press: None, due: None, refused: false });
            }
        }
        self.settle();
    }

    /// What the source holds, read just now.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if not one channel can be served.
    pub(super) fn know(&mut self, bounds: &Bounds) -> Result<()> {
        self.topics = Topics(bounds.topics.iter().map(|topic| (topic.tag, topic.name.clone())).collect());
        self.partitions = bounds.topics.iter().map(|topic| (topic.tag, topic.partitions.len())).collect();
        let refused = self.all.iter().map(|member| self.check_id(&member.shared).err());
        let refused = refused.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().next());
        self.all_refused = refused.is_some();
        refused.map_or(Ok(()), Err)
    }

    /// A subscription starts: what lies between the position and its start is told to all.
    ///
    /// # Errors
    /// As [`Bounds::told_by_start`].
    pub(super) async fn start(&mut self, start: Cursor, bounds: &Bounds) -> Result<()> {
        self.all.iter().for_each(|member| member.shared.backfill.forget());
        match self.position.clone().filter(|position| !start.is_behind(position)) {
            Some(position) => {
                let told = bounds.told_by_start(&position, &start)?;
                self.deliver(&told).await;
            }
            None => {
                // The first start; or positions that were given out are gone upstream: streams end, and their
                // clients are told when they come back with an id that is ahead.
                for member in self.all.iter_mut().filter(|member| member.press.is_some()) {
                    member.begin(&start, &self.topics);
                }
                self.position = Some(start);
            }
        }
        self.stand(UpstreamState::Live, None);
        self.settle();
        Ok(())
    }

    /// Renders deliveries for each channel, and appends them to its log.
    ///
    /// # Cancel safety
    /// None: some channels would have them, and others not.
    pub(super) async fn deliver(&mut self, deliveries: &[Delivery]) {
        #[cfg(test)]
        let deliveries = &*crate::model::broken::swapped(deliveries);
        let several = self.all.len() > 1;
        for member in &mut self.all {
            let Some(press) = &mut member.press else { continue };
            for delivery in deliveries {
                press.add(delivery, &member.shared.render, BATCH_BYTES);
            }
            let linger = member.shared.settings.linger;
            if linger.is_zero() || press.is_full() {
                member.flush();
            } else if !press.is_empty() {
                member.due.get_or_insert_with(|| Instant::now() + linger);
            }
            if several {
                // A hundred maps over a full chunk are too much for one turn.
                yield_now().await;
            }
        }
        let mut anew = false;
        for delivery in deliveries {
            if let Some(position) = &mut self.position {
                delivery.advance(position);
            }
            if let Delivery::Epoch(new) = delivery {
                anew = true;
                let known = self.partitions.iter_mut().find(|(tag, _)| *tag == new.tag);
                if let Some((_, partitions)) = known {
                    *partitions = new.start.len();
                }
            }
        }
        if anew {
            self.settle();
        }
    }

    /// When something that is held back is due, if anything is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.all.iter().filter_map(|member| member.due).min()
    }

    /// Appends what is due at this time.
    pub(super) fn flush(&mut self, now: Instant) {
        for member in self.all.iter_mut().filter(|member| member.due.is_some_and(|due| due <= now)) {
            member.flush();
        }
    }

    /// Appends all that is held back: nothing more comes for a while.
    pub(super) fn flush_all(&mut self) {
        self.all.iter_mut().for_each(Member::flush);
    }

    /// After a panic: a channel that is not where the upstream is begins there anew. Its streams come back with their
    /// own ids, so nobody misses anything or gets it twice.
    pub(super) fn mend(&mut self) {
        let Some(position) = &self.position else { return };
        for member in &mut self.all {
            if member.press.as_ref().is_some_and(|press| press.cursor() != position) {
                member.begin(position, &self.topics);
            }
        }
    }

    /// Where the upstream stands. An error stays readable until it is live again.
    pub(super) fn stand(&mut self, standing: UpstreamState, error: Option<Error>) {
        (self.standing, self.error) = (standing, error.map(Arc::new));
        for member in &self.all {
            // A channel that was refused says why.
            if member.press.is_some() || self.position.is_none() {
                member.shared.upstream(self.standing, self.error.clone());
            }
        }
    }

    /// Removes what has become too old, and answers when to look again.
    pub(super) fn evict(&self) -> Duration {
        let now = Instant::now();
        let mut again = Duration::from_secs(5);
        for Member { shared, .. } in &self.all {
            shared.lock().evict(now);
            again = again.min(shared.settings.log.age / 4);
        }
        again.max(Duration::from_millis(100))
    }

    /// The channels that have begun since the last call and are to be pre-warmed, and where they have begun.
    pub(super) fn take_begun(&mut self) -> Option<(Vec<Arc<Shared>>, Cursor)> {
        let begun = std::mem::take(&mut self.begun);
        (!begun.is_empty()).then_some(begun).zip(self.position.clone())
    }

    /// Lets channels begin that have not: between two deliveries, so that each starts exactly here.
    fn settle(&mut self) {
        let mut all = std::mem::take(&mut self.all);
        for member in all.iter_mut().filter(|member| member.press.is_none()) {
            let Some(position) = &self.position else {
                member.shared.upstream(self.standing, self.error.clone());
                continue;
            };
            if let Err(error) = self.check_id(&member.shared) {
                if !std::mem::replace(&mut member.refused, true) {
                    tracing::warn!(channel = &*member.shared.name, "the channel is refused: {error}");
                }
                member.shared.upstream(UpstreamState::Degraded, Some(Arc::new(error)));
                continue;
            }
            if member.begin(position, &self.topics) {
                self.begun.push(member.shared.clone());
            }
            member.shared.upstream(self.standing, self.error.clone());
        }
        self.all = all;
    }

    /// A channel whose id could not come back through the proxies in front is refused (I2).
    fn check_id(&self, shared: &Shared) -> Result<()> {
        let worst = Cursor::worst_text_len(self.partitions.iter().map(|(_, partitions)| *partitions));
        if worst <= MAX_ID || shared.settings.large_ids {
            return Ok(());
        }
        let partitions: usize = self.partitions.iter().map(|(_, partitions)| partitions).sum();
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "{partitions} partitions make ids of up to {worst} characters, more than {MAX_ID}: browsers send them \
                 back in a header, and proxies limit headers (nginx: 8 KiB in all); split the channel, or allow \
                 large_ids"
            ),
        ))
    }
}

impl Member {
    fn flush(&mut self) {
        self.due = None;
        if let Some(press) = &mut self.press {
            self.shared.append(press.take());
        }
    }

    /// The channel's log starts here; streams of a log before it end. Answers whether it is to be pre-warmed.
    fn begin(&mut self, start: &Cursor, topics: &Topics) -> bool {
        self.due = None;
        self.press = Some(Press::new(start.clone()));
        self.shared.begin(start.clone(), topics.clone())
    }
}

impl fmt::Display for Members {
    /// The names of the first few.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        for (index, member) in self.all.iter().take(SHOWN).enumerate() {
            write!(f, "{}{}", if index > 0 { ", " } else { "" }, member.shared.name)?;
        }
        match self.all.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidewater_core::{Message, PayloadMode, Source as _, memory::MemoryLog};

    use super::*;
    use crate::{
        render::{Counts, Render},
        settings::{MapFailure, Settings},
        upstream::Origin,
    };

    fn channel(log: &MemoryLog) -> Arc<Shared> {
        let render = Render {
            channel: "c".into(),
            map: None,
            on_failure: MapFailure::default(),
            payload: PayloadMode::default(),
            event: tidewater_core::EventFrom::default(),
            counts: Counts::default(),
        };
        let origin = Arc::new(Origin::new(Arc::new(log.source())));
        Arc::new(Shared::new("c".into(), Settings::default(), origin, None, render))
    }

    /// A panic in the middle of a delivery would leave some channels ahead of the others.
    #[tokio::test]
    async fn after_a_panic_all_channels_are_where_the_upstream_is() {
        let log = MemoryLog::new("mend");
        let bounds = log.source().bounds().await.unwrap();
        let channels = [channel(&log), channel(&log)];
        let mut members = Members::default();
        members.sync(&channels);
        members.know(&bounds).unwrap();
        members.start(bounds.end(), &bounds).await.unwrap();
        let place = log.publish(Message::new("", "x"));
        let ahead = &mut members.all[0];
        let mut message = Message::new("", "x");
        (message.tag, message.position) = (place.tag, place.position);
        let press = ahead.press.as_mut().unwrap();
        press.add(&Delivery::Message(message), &ahead.shared.render, BATCH_BYTES);
        ahead.shared.append(press.take());

        members.mend();
        let head = |shared: &Shared| (**shared.lock().log.as_ref().unwrap().head()).clone();
        assert_eq!(channels.each_ref().map(|channel| head(channel)), [bounds.end(), bounds.end()]);
        assert_eq!(
            channels.each_ref().map(|channel| channel.lock().generation),
            [1, 0],
            "only its streams end"
        );
    }
}
