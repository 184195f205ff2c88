//! Several sources as one.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures_core::Stream;
use futures_util::{StreamExt as _, future::try_join_all};

use crate::{
    Bounds, Capabilities, Cursor, Deliveries, Delivery, Error, ErrorKind, Result, ShareKey, Source,
    Subscribed, Subscription,
};

/// Several sources as one: for a channel that has topics from more than one broker, or of more than one kind.
///
/// ```
/// use tidewater_core::{Combined, plugin::open_source};
///
/// let both = Combined::new([open_source("memory:orders")?, open_source("memory:notes")?])?;
/// assert_eq!(both.to_string(), "memory:orders + memory:notes");
/// # Ok::<(), tidewater_core::Error>(())
/// ```
///
/// A cursor names topics, not sources, so it stays what it is: ids of a channel on one of the sources are good for a
/// channel on both. What each source delivers passes through in its order, taken from all in turn. Between topics of
/// different sources there is no order, as there is none between partitions.
///
/// It can do what all of them can: with one that keeps nothing (core NATS) none is replayed from. A source that fails
/// ends the subscription to all, and they go on together. The others wait for the one that is away: what they can replay
/// is not lost, but what comes meanwhile to one that keeps nothing is, behind a gap. Give topics that mustn't wait for each
/// other channels of their own.
#[derive(Debug)]
pub struct Combined(Vec<Arc<dyn Source>>);

impl Combined {
    /// All of these, whose topics have to differ: a topic that two of them have is an error of
    /// [`bounds`](Source::bounds) and [`subscribe`](Source::subscribe).
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without any source, and for one whose positions are no numbers (another endpoint of
    /// server-sent events): ids of such a source can't stand beside others; and for one that is given twice.
    pub fn new(sources: impl IntoIterator<Item = Arc<dyn Source>>) -> Result<Self> {
        let all: Vec<_> = sources.into_iter().collect();
        let config = |why: String| Err(Error::new(ErrorKind::Config, why));
        if all.is_empty() {
            return config("there is nothing to combine: give it one source at least".to_owned());
        }
        if let Some(opaque) = all.iter().find(|source| !source.capabilities().mergeable && all.len() > 1) {
            return config(format!(
                "{opaque} can't be combined with other sources, because its positions are no numbers: give it a channel \
                 of its own"
            ));
        }
        // Others are seen when they tell their topics.
        let same = |(index, source): &(usize, &Arc<dyn Source>)| {
            let key = source.share_key();
            key.is_some() && all[..*index].iter().any(|other| other.share_key() == key)
        };
        if let Some((_, twice)) = all.iter().enumerate().find(same) {
            return config(format!("{twice} is given twice: each source once"));
        }
        Ok(Self(all))
    }

    fn twice(&self, topic: &dyn fmt::Display) -> Error {
        Error::new(
            ErrorKind::Config,
            format!(
                "more than one of the sources {self} has {topic}: put them into two channels, or leave it out of one"
            ),
        )
    }
}

#[async_trait]
impl Source for Combined {
    /// That of all of them, or `combined`. Tags are made by the sources, each from its own kind.
    fn kind(&self) -> &'static str {
        match self.0.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other.kind() == first.kind()) => first.kind(),
            _ => "combined",
        }
    }

    fn capabilities(&self) -> Capabilities {
        let all = |can: fn(Capabilities) -> bool| self.0.iter().all(|source| can(source.capabilities()));
        Capabilities {
            replay: all(|can| can.replay),
            from_time: all(|can| can.from_time),
            // One that has is enough: the others' topics have one partition each.
            partitioned: !all(|can| !can.partitioned),
            mergeable: all(|can| can.mergeable),
        }
    }

    async fn bounds(&self) -> Result<Bounds> {
        let all = try_join_all(self.0.iter().map(|source| source.bounds())).await?;
        let mut bounds = Bounds::default();
        for topic in all.into_iter().flat_map(|own| own.topics) {
            if let Some(other) =
                bounds.topics.iter().find(|other| other.tag == topic.tag && other.name == topic.name)
            {
                return Err(self.twice(&format_args!("the topic {:?}", other.name.as_str())));
            }
            bounds.topics.push(topic);
        }
        // Different names of one tag.
        bounds.check()?;
        Ok(bounds)
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Subscribed> {
        // Each looks at its own topics in a cursor, and at no others.
        let all = try_join_all(self.0.iter().map(|source| source.subscribe(subscription.clone()))).await?;
        let (mut start, mut streams) = (Cursor::default(), Vec::new());
        for one in all {
            for topic in one.start.topics() {
                if start.topic(topic.tag).is_some() {
                    return Err(self.twice(&format_args!("the topic with the tag {}", topic.tag)));
                }
                start.set(topic.clone());
            }
            streams.push(one.deliveries);
        }
        Ok(Subscribed { start, deliveries: InTurn { streams, first: 0 }.boxed() })
    }

    fn share_key(&self) -> Option<ShareKey> {
        self.0.iter().map(|source| source.share_key()).collect::<Option<Vec<_>>>().map(ShareKey::of_all)
    }
}

impl fmt::Display for Combined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, source) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" + ")?;
            }
            source.fmt(f)?;
        }
        Ok(())
    }
}

/// What comes from several streams, each in its order, none before the others' turn.
struct InTurn {
    /// Empty when one of them has ended: whoever subscribes again goes on with all of them.
    streams: Vec<Deliveries>,
    /// Whose turn it is.
    first: usize,
}

impl Stream for InTurn {
    type Item = Result<Delivery>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let count = self.streams.len();
        if count == 0 {
            return Poll::Ready(None);
        }
        for index in (self.first..self.first + count).map(|index| index % count) {
            match self.streams[index].poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(delivery))) => {
                    self.first = (index + 1) % count;
                    return Poll::Ready(Some(Ok(delivery)));
                }
                Poll::Ready(end) => {
                    self.streams.clear();
                    return Poll::Ready(end);
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::{Message, TopicTag, memory::MemoryLog};

    fn logs<const N: usize>(names: [&str; N]) -> (Vec<MemoryLog>, Vec<Arc<dyn Source>>) {
        let logs: Vec<_> = names.iter().map(|name| MemoryLog::new(*name)).collect();
        let sources = logs.iter().map(|log| Arc::new(log.source()) as Arc<dyn Source>).collect();
        (logs, sources)
    }

    /// What a stream has now, by topic.
    async fn topics(stream: &mut Deliveries, count: usize) -> String {
        let all: Vec<_> = stream.take(count).collect().await;
        let name = |delivery: Result<Delivery>| match delivery.unwrap() {
            Delivery::Message(message) => message.topic.as_str().to_owned(),
            other => format!("{other:?}"),
        };
        all.into_iter().map(name).collect()
    }

    #[tokio::test]
    async fn each_has_its_turn_and_a_cursor_is_split_by_its_topics() {
        let (logs, sources) = logs(["a", "b", "c"]);
        let all = Combined::new(sources).unwrap();
        for log in &logs[..2] {
            for _ in 0..4 {
                log.publish(Message::new("", "x"));
            }
        }
        let mut from_start = all.subscribe(Subscription::earliest()).await.unwrap();
        assert_eq!(topics(&mut from_start.deliveries, 8).await, "abababab");
        assert_eq!(all.bounds().await.unwrap().end().topics().len(), 3);
        let tag = TopicTag::of("memory", "a");
        let mut after = from_start.start.clone();
        after.raise(tag, after.topic(tag).unwrap().epoch, 0, 3);
        let mut resumed = all.subscribe(Subscription::after(after.clone())).await.unwrap();
        assert_eq!(resumed.start, after);
        assert_eq!(topics(&mut resumed.deliveries, 5).await, "abbbb");
    }

    #[tokio::test]
    async fn a_topic_of_two_sources_is_refused_by_name() {
        let (_, sources) = logs(["a", "b", "a"]);
        let all = Combined::new(sources).unwrap();
        for error in
            [all.bounds().await.unwrap_err(), all.subscribe(Subscription::latest()).await.unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("memory:a + memory:b + memory:a"), "{error}");
        }
    }

    #[tokio::test]
    async fn one_that_ends_ends_all() {
        let wrong = || Error::new(ErrorKind::Unavailable, "away");
        let streams: Vec<Deliveries> =
            vec![stream::pending().boxed(), stream::iter([Err(wrong())]).boxed(), stream::pending().boxed()];
        let mut all = InTurn { streams, first: 0 };
        assert!(all.next().await.unwrap().is_err());
        assert!(all.next().await.is_none());
    }

    #[test]
    fn it_can_do_what_all_can_and_is_shared_if_all_are() {
        let (_, sources) = logs(["a", "b"]);
        let turned = vec![sources[1].clone(), sources[0].clone()];
        let key = |sources: &[Arc<dyn Source>]| Combined::new(sources.to_vec()).unwrap().share_key().unwrap();
        assert_eq!(key(&sources), key(&turned), "they read the same");
        assert_ne!(key(&sources), key(&sources[..1]));
        assert!(Combined::new([]).is_err());
        let twice = Combined::new([sources[0].clone(), sources[1].clone(), sources[0].clone()]).unwrap_err();
        assert!(twice.to_string().contains("memory:a is given twice"), "{twice}");
        let can = Combined::new(sources).unwrap().capabilities();
        assert!(can.replay && can.mergeable && !can.partitioned);
    }
}
