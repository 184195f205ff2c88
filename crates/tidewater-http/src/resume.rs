//! What a request asks a channel for, read from its head.

use std::{net::IpAddr, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use serde_json::json;
use tidewater_hub::{Channel, Encoding, LagPolicy, Select};

use crate::{
    Action, Ask, Authorizer, Body, Grant, Head, Limits, Peer, Proxies, Refusal, Rejection, Reply, SelectBy,
    Selection,
    accept::{Accepted, accepted},
    address::ForwardingHeader,
    body,
    encoding::Encodings,
    names,
    query::pairs,
    since, trace,
};

/// The header in which an `EventSource` sends the last id that it got (WHATWG HTML §9.2.4).
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How often a selection may name one thing.
const MOST_VALUES: usize = 256;

/// The header in which `HEAD`, and `GET` with `Accept: application/json`, answer the channel's current cursor.
pub const TIDEWATER_CURSOR: HeaderName = HeaderName::from_static("tidewater-cursor");

/// What a `GET` or `HEAD` asks for: where to start, what to select, and whether it wants the events or the cursor.
///
/// In the open form a handler extracts it beside extractors of its own, then either lets it answer the request
/// ([`open`](Self::open)) or hands it to [`Channel::stream`]:
///
/// ```no_run
/// # use tidewater_http::{Rejection, Reply, Resume};
/// # use tidewater_hub::{Channel, Select};
/// async fn handler(request: http::Request<()>, channel: Channel) -> Result<Reply, Rejection> {
///     let (parts, ()) = request.into_parts();
///     let resume = Resume::from_parts(&parts)?;
///     Ok(channel.stream(resume, Select::key("user-7")).await.into())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Resume {
    resume: tidewater_hub::Resume,
    wants: Wants,
    /// What the query selects, as it came: an authorizer may want to see it.
    selection: Selection,
    /// `?lag=` of a client without an id, as it came: only the channel knows what it allows.
    lag: Option<String>,
    peer: Option<Peer>,
    /// What proxies say of where it comes from.
    forwarding: HeaderMap,
    accepts: Encodings,
    /// How the stream is compressed.
    encoding: Option<Encoding>,
    /// Whether another client may get it in another form.
    varies: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Events,
    /// The cursor as JSON. For `HEAD` too: servers leave the body out themselves, and keep its length.
    Cursor,
}

impl Resume {
    /// Reads it from a request's head.
    ///
    /// `Last-Event-ID` wins over `?last_event_id=` and `?lastEventId=`, because the URL of a page keeps the old id.
    /// An id is never refused here, whatever it holds: the hub answers an unreadable one with a gap.
    ///
    /// A parameter that is not ours is the application's, unless its name looks like one of ours that is misspelled
    /// (`topics`, `Key`, `sinse`): that is refused on a client's first connection. With an id it is ignored, for an
    /// `EventSource` that comes back would give up for good.
    ///
    /// # Errors
    /// 400 for another value of the query that can't be read, or a parameter that is misspelled; 406 where `Accept`
    /// excludes events and JSON.
    pub fn from_parts(parts: &Parts) -> Result<Self, Rejection> {
        let resume = Self::from_head(&parts.method, parts.uri.query(), &parts.headers)?;
        Ok(Self { peer: parts.extensions.get().copied(), ..resume })
    }

    /// [`from_parts`](Self::from_parts), for frameworks that don't have them. Where it comes from is said by
    /// [`from_peer`](Self::from_peer).
    ///
    /// # Errors
    /// As [`from_parts`](Self::from_parts).
    pub fn from_head(method: &Method, query: Option<&str>, headers: &HeaderMap) -> Result<Self, Rejection> {
        let wants = match method {
            &Method::HEAD => Wants::Cursor,
            _ => match accepted(headers)? {
                Accepted::Events => Wants::Events,
                Accepted::Json => Wants::Cursor,
            },
        };
        let mut asked = Asked::default();
        for pair in pairs(query)? {
            match &*pair.name {
                "last_event_id" | "lastEventId" => asked.id = asked.id.or(Some(pair.lossy())),
                "since" => asked.start = Some(since::parse(&pair.text()?, SystemTime::now())?),
                "topic" => asked.selection.topics.push(pair.text()?),
                "key" => asked.selection.keys.push(pair.value.into()),
                "tag" => asked.selection.tags.push(pair.text()?),
                "event" => asked.selection.events.push(pair.text()?),
                "lag" => asked.lag = Some(pair.lossy()),
                // The application's own, or a slip.
                other => asked.slip = asked.slip.or_else(|| Some((other.to_owned(), names::meant(other)?))),
            }
        }
        asked.check()?;
        let header = headers.get(LAST_EVENT_ID).map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        // A client without an id sends no header; some send an empty one, which means the same.
        let last_event_id = [header, asked.id.take()].into_iter().flatten().find(|id| !id.is_empty());
        match asked.slip.take() {
            Some((given, ours)) if last_event_id.is_none() => {
                return Err(Rejection::bad_request(format!(
                    "?{given}= is no parameter of a stream: did you mean ?{ours}=? (There are: {}.)",
                    names::NAMES.join(", ")
                )));
            }
            Some((given, ours)) => {
                tracing::debug!("?{given}= is ignored, a client comes back with it: was ?{ours}= meant?");
            }
            None => {}
        }
        let (start, lag) = (asked.start, asked.lag.take());
        let policy = lag.as_ref().and_then(|lag| lag.parse().ok());
        let lag = lag.filter(|_| last_event_id.is_none());
        let select = asked.select()?;
        let resume = tidewater_hub::Resume { last_event_id, start, select, lag: policy };
        let mut forwarding = HeaderMap::new();
        for name in [ForwardingHeader::XForwardedFor, ForwardingHeader::Forwarded].map(ForwardingHeader::name)
        {
            for value in headers.get_all(&name) {
                forwarding.append(&name, value.clone());
            }
        }
        Ok(Self {
            resume,
            wants,
            selection: asked.selection,
            lag,
            peer: None,
            forwarding,
            accepts: Encodings::accepted(headers),
            encoding: None,
            varies: false,
        })
    }

    /// Where it comes from. [`from_parts`](Self::from_parts) takes it from the extension [`Peer`].
    #[must_use]
    pub fn from_peer(self, peer: Peer) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// The address of its client: as [`Proxies::client`] has it, and `None` where nobody has said where it comes from.
    pub fn client(&self, proxies: &Proxies) -> Option<IpAddr> {
        proxies.client(self.peer.as_ref()?, &self.forwarding)
    }

    /// Checks that the channel allows what `?lag=` asks for; [`open`](Self::open) does it too. Whoever comes back with
    /// an id is never refused: what the channel doesn't allow is then as nothing asked.
    ///
    /// # Errors
    /// 400, with what the channel allows.
    pub fn check_lag(&self, channel: &Channel) -> Result<(), Rejection> {
        let Some(lag) = &self.lag else { return Ok(()) };
        let allowed = channel.lag_policies();
        if self.resume.lag.is_some_and(|policy| allowed.contains(&policy)) {
            return Ok(());
        }
        let allowed: Vec<_> = allowed.into_iter().map(LagPolicy::as_str).collect();
        Err(Rejection::bad_request(format!(
            "?lag={lag}: the channel {:?} does not offer that when a client falls behind (there are: {})",
            channel.name(),
            allowed.join(", ")
        )))
    }

    /// Checks that the request selects by nothing but these; the [`Endpoint`](crate::Endpoint) does it too. Whoever comes
    /// back with an id is never refused, and gets what it selects: a page that was open when the endpoint's setting
    /// changed would otherwise end for good, or be sent what it never asked for.
    ///
    /// # Errors
    /// 400, with what may be selected by.
    pub fn check_select(&self, allowed: &[SelectBy]) -> Result<(), Rejection> {
        let refused = || self.selection.by().find(|by| !allowed.contains(by));
        let Some(by) = self.is_first().then(refused).flatten() else { return Ok(()) };
        let allowed: Vec<_> = allowed.iter().map(|by| format!("?{by}=")).collect();
        let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
        Err(Rejection::bad_request(format!("?{by}=: nobody can select by that here (there is: {allowed})")))
    }

    /// Whether its client comes without an id: what is wrong can be told to it, and it does not lose its stream for that.
    fn is_first(&self) -> bool {
        self.resume.last_event_id.is_none()
    }

    /// Offers encodings: the stream is compressed by the one that the client likes best, if it takes any; of what it likes
    /// equally, by the first. What an [`Endpoint`](crate::Endpoint) offers is its own.
    ///
    /// A stream that the handler makes itself is compressed by the handler:
    ///
    /// ```no_run
    /// # use tidewater_http::{Rejection, Reply, Resume};
    /// # use tidewater_hub::{Channel, Encoding, Select};
    /// async fn handler(request: http::Request<()>, channel: Channel) -> Result<Reply, Rejection> {
    ///     let (parts, ()) = request.into_parts();
    ///     let resume = Resume::from_parts(&parts)?.compress(Encoding::ALL.iter().copied());
    ///     let encoding = resume.encoding();
    ///     Ok(channel.stream(resume, Select::key("user-7")).await.encoded(encoding).into())
    /// }
    /// ```
    ///
    /// Not for streams that mix secrets with what others can write: see [`EventStream::encoded`].
    ///
    /// [`EventStream::encoded`]: tidewater_hub::EventStream::encoded
    #[must_use]
    pub fn compress(mut self, encodings: impl IntoIterator<Item = Encoding>) -> Self {
        let mut offered = encodings.into_iter().peekable();
        self.varies = offered.peek().is_some();
        self.encoding = self.accepts.choose(offered);
        self
    }

    /// How the stream will be compressed, of what was [offered](Self::compress).
    pub fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }

    /// Answers the request: the events, or the channel's cursor if that is what it asks for.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open(self, channel: &Channel) -> Reply {
        self.open_selected(channel, Select::all()).await
    }

    /// [`open`](Self::open), of what the application selects *and* the request selects.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_selected(self, channel: &Channel, select: Select) -> Reply {
        self.open_granted(channel, &Grant::new().reading(select)).await
    }

    /// What an authorizer grants this request, whose head it is.
    ///
    /// # Errors
    /// The authorizer's refusal, to answer with [`refused`](Self::refused).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn authorize<'a>(
        &'a self,
        channel: &'a Channel,
        authorizer: &dyn Authorizer,
        head: impl Into<Head<'a>>,
    ) -> Result<Grant, Refusal> {
        let verdict = authorizer.authorize(Ask::new(channel.name(), Action::Read(&self.selection), head));
        trace::authorized(channel.name(), verdict).await
    }

    /// [`open`](Self::open), of what is granted *and* the request selects, for as long as it is granted: 403 if nothing is.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_granted(self, channel: &Channel, grant: &Grant) -> Reply {
        let Some(select) = grant.select() else {
            let why = format!("reading is not granted: the channel {:?}, for who asks", channel.name());
            return self.refused(channel, Refusal::forbidden(why));
        };
        if let Err(refusal) = grant.check_time(SystemTime::now()) {
            return self.refused(channel, refusal);
        }
        if self.wants == Wants::Cursor {
            return cursor(channel).await.map_or_else(Reply::from, Reply);
        }
        if let Err(rejection) = self.check_lag(channel) {
            return rejection.into();
        }
        let mut stream = channel.stream(self.resume, select.clone()).await.encoded(self.encoding);
        if let Some(left) = grant.time_left(SystemTime::now()) {
            stream = stream.ends_after(left);
        }
        let mut reply = Reply::from(stream);
        if self.varies && self.encoding.is_none() {
            body::vary_by_encoding(reply.0.headers_mut());
        }
        reply
    }

    /// Answers the request with a refusal; where there is no verdict just now, who wants the events is told when to come back (I10).
    pub fn refused(&self, channel: &Channel, refusal: Refusal) -> Reply {
        match self.wants {
            Wants::Events if refusal.is_unavailable() => channel.come_back().into(),
            _ => Rejection::from(refusal).into(),
        }
    }

    /// [`open_selected`](Self::open_selected), if there is a place for one more stream of its client, and of a subject if it
    /// has one. If there is none it is answered with a stream that says when to come back ([`Full`](crate::Full)). Whoever asks
    /// for the cursor needs no place.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_limited(
        self,
        channel: &Channel,
        select: Select,
        limits: &Limits,
        subject: Option<&str>,
    ) -> Reply {
        let grant = Grant::new().reading(select);
        let grant = match subject {
            Some(subject) => grant.with_subject(subject),
            None => grant,
        };
        self.open_granted_within(channel, &grant, limits).await
    }

    /// [`open_granted`](Self::open_granted), within limits: those of the grant's subject, too. Over them it is answered as by
    /// [`open_limited`](Self::open_limited).
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn open_granted_within(self, channel: &Channel, grant: &Grant, limits: &Limits) -> Reply {
        if self.wants == Wants::Cursor || grant.select().is_none() {
            return self.open_granted(channel, grant).await;
        }
        let address = limits.client(self.peer.as_ref(), &self.forwarding);
        match limits.stream(address, grant.subject().map(|subject| &**subject)) {
            Ok(permit) => self.open_granted(channel, grant).await.hold(permit),
            Err(full) => full.into(),
        }
    }
}

impl From<Resume> for tidewater_hub::Resume {
    fn from(resume: Resume) -> Self {
        resume.resume
    }
}

/// The channel's current cursor. 503 before it has one: who asks for it is no `EventSource` and can ask again.
async fn cursor(channel: &Channel) -> Result<Response<Body>, Rejection> {
    let unavailable = |why: String| Rejection::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let cursor = channel.cursor().await.map_err(|error| unavailable(error.to_string()))?.to_string();
    let value = HeaderValue::try_from(&cursor).map_err(|error| unavailable(error.to_string()))?;
    let mut response = body::json(StatusCode::OK, &json!({ "cursor": cursor }));
    response.headers_mut().insert(TIDEWATER_CURSOR, value);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// What the query names, repeated or not.
#[derive(Default)]
struct Asked {
    id: Option<String>,
    start: Option<tidewater_core::Start>,
    selection: Selection,
    lag: Option<String>,
    /// The first name that looks like one of ours, and which.
    slip: Option<(String, &'static str)>,
}

impl Asked {
    /// Each name a bounded number of times: what a client selects is kept for as long as it stays.
    fn check(&self) -> Result<(), Rejection> {
        let Selection { topics, keys, tags, events } = &self.selection;
        let counts =
            [("topic", topics.len()), ("key", keys.len()), ("tag", tags.len()), ("event", events.len())];
        match counts.into_iter().find(|(_, count)| *count > MOST_VALUES) {
            None => Ok(()),
            Some((name, count)) => Err(Rejection::bad_request(format!(
                "?{name}= stands {count} times: {MOST_VALUES} at most (let the server tag what belongs together, and select by ?tag=)"
            ))),
        }
    }

    /// Any of the values of one name, all of the names.
    fn select(&self) -> Result<Select, Rejection> {
        let Selection { topics, keys, tags, events } = &self.selection;
        let mut select = Select::all();
        if !topics.is_empty() {
            let topics = Select::try_topics(topics);
            select = select.and(topics.map_err(|error| Rejection::bad_request(format!("?topic=: {error}")))?);
        }
        if !keys.is_empty() {
            select = select.and(Select::keys(keys.iter().cloned()));
        }
        if !tags.is_empty() {
            select = select.and(Select::tags(tags));
        }
        if !events.is_empty() {
            select = select.and(Select::events(events));
        }
        Ok(select)
    }
}

#[cfg(test)]
mod tests {
    use tidewater_core::Start;

    use super::*;

    fn read(query: &str, headers: &[(&str, &[u8])]) -> Result<Resume, Rejection> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap()))
            .collect();
        Resume::from_head(&Method::GET, Some(query), &headers)
    }

    fn id(query: &str, headers: &[(&str, &[u8])]) -> Option<String> {
        read(query, headers).unwrap().resume.last_event_id
    }

    #[test]
    fn the_header_wins_over_the_url_which_keeps_the_old_id() {
        assert_eq!(id("last_event_id=old", &[("last-event-id", b"new")]).as_deref(), Some("new"));
        assert_eq!(id("last_event_id=a", &[]).as_deref(), Some("a"));
        assert_eq!(id("lastEventId=a%2Bb", &[]).as_deref(), Some("a+b"));
        assert_eq!(id("lastEventId=a", &[("last-event-id", b"")]).as_deref(), Some("a"));
        assert_eq!(id("", &[]), None);
    }

    #[test]
    fn i3_an_id_is_never_refused_whatever_it_holds() {
        assert_eq!(id("", &[("last-event-id", "é".as_bytes())]).as_deref(), Some("é"));
        assert_eq!(id("", &[("last-event-id", b"\xff\xfe")]).as_deref(), Some("\u{fffd}\u{fffd}"));
        assert_eq!(id("last_event_id=%00%ff", &[]).as_deref(), Some("\0\u{fffd}"));
    }

    #[test]
    fn other_values_that_cannot_be_read_are_400() {
        for query in ["since=never", "since=", "topic=%ff", "event=%c3", "tag=%80"] {
            assert_eq!(read(query, &[]).unwrap_err().status(), 400, "{query}");
        }
        assert!(read("key=%ff&token=%ff&whatever", &[]).is_ok(), "keys are bytes, the rest is not ours");
    }

    #[test]
    fn a_misspelled_name_is_told_to_who_comes_first() {
        let refused = read("token=x&topics=a&sinse=5m", &[]).unwrap_err();
        assert_eq!(refused.status(), 400);
        assert!(
            refused.message().contains("?topics=") && refused.message().contains("?topic=?"),
            "{refused}"
        );
        assert!(refused.message().contains("last_event_id"), "{refused}");
        assert!(read("topics=a&lastEventId=", &[]).is_err(), "an empty id is none");
        assert!(read("token=x&type=y&tab=z&id=1&user=u&_=123", &[]).is_ok(), "the application's own");
    }

    /// I10: an `EventSource` that is refused when it comes back gives up for good.
    #[test]
    fn i10_a_misspelled_name_refuses_nobody_who_comes_back() {
        for (query, headers) in
            [("topics=a", &[("last-event-id", &b"x"[..])][..]), ("topics=a&last_event_id=x", &[])]
        {
            let resume = read(query, headers).unwrap().resume;
            assert_eq!(
                (resume.last_event_id.as_deref(), resume.select.is_all()),
                (Some("x"), true),
                "{query}"
            );
        }
    }

    #[test]
    fn topics_may_be_patterns() {
        for topic in ["a.*", "a.%3E", "a.>"] {
            assert!(!read(&format!("topic={topic}"), &[]).unwrap().resume.select.is_all());
        }
        for topic in ["", "a*b", "a.>.b", "a..*"] {
            let refused = read(&format!("topic=fine&topic={topic}"), &[("last-event-id", b"x")]).unwrap_err();
            assert_eq!(refused.status(), 400, "{topic}");
            assert!(refused.message().contains(&format!("{topic:?}")), "{refused}");
        }
    }

    /// I10: what the channel doesn't allow is refused to who comes first only.
    #[tokio::test]
    async fn i10_a_lag_policy_is_one_that_the_channel_allows() {
        let hub = tidewater_hub::Hub::new();
        let plain = hub.channel("plain").source("memory:lag-plain").open().unwrap();
        let choices = [LagPolicy::Skip, LagPolicy::Conflate];
        let free = hub.channel("free").source("memory:lag-free").lag_choices(choices).open().unwrap();
        let status = |query: &str, headers: &[(&str, &[u8])], channel: &Channel| {
            let checked = read(query, headers).unwrap().check_lag(channel);
            checked.err().map(|refused| (refused.status().as_u16(), refused.message().to_owned()))
        };
        for query in ["", "lag=backfill"] {
            assert_eq!(status(query, &[], &plain), None);
        }
        for query in ["lag=skip", "lag=nothing", "lag="] {
            let (code, message) = status(query, &[], &plain).unwrap();
            assert!(code == 400 && message.contains("(there are: backfill)"), "{message}");
            assert_eq!(status(query, &[("last-event-id", b"x")], &plain), None);
        }
        assert_eq!(status("lag=conflate", &[], &free), None);
        assert!(
            status("lag=disconnect", &[], &free).unwrap().1.contains("(there are: backfill, skip, conflate)")
        );
        let reply = read("lag=skip", &[]).unwrap().open(&plain).await.into_response();
        assert_eq!(reply.status(), 400);
    }

    /// I10: what can't be selected by is refused to who comes first only; who comes back goes on with what it had.
    #[test]
    fn i10_what_can_be_selected_by_is_what_is_offered() {
        let status = |query: &str, headers: &[(&str, &[u8])], allowed: &[SelectBy]| {
            let refused = read(query, headers).unwrap().check_select(allowed).err()?;
            Some((refused.status().as_u16(), refused.message().to_owned()))
        };
        let allowed = [SelectBy::Topic, SelectBy::Event];
        assert_eq!(status("topic=a&event=b&since=5m&x=1", &[], &allowed), None);
        for query in ["key=a", "topic=a&tag=b", "key="] {
            let (code, message) = status(query, &[], &allowed).unwrap();
            assert!(code == 400 && message.contains("(there is: ?topic=, ?event=)"), "{message}");
            assert_eq!(status(query, &[("last-event-id", b"x")], &allowed), None);
            assert_eq!(status(query, &[], &SelectBy::ALL), None);
        }
        assert!(status("topic=a", &[], &[]).unwrap().1.contains("(there is: nothing)"));
        let back = read("key=a", &[("last-event-id", b"x")]).unwrap().resume;
        assert!(!back.select.is_all(), "it is not sent what it never asked for");
    }

    /// The open form offers by itself; whoever might get the stream in another form is told so.
    #[cfg(all(feature = "gzip", feature = "zstd"))]
    #[tokio::test]
    async fn a_stream_is_compressed_for_who_asks_where_it_is_offered() {
        let hub = tidewater_hub::Hub::new();
        let channel = hub.channel("plain").source("memory:compressed").open().unwrap();
        let asks: &[(&str, &[u8])] = &[("accept-encoding", b"gzip, zstd;q=0.5")];
        for (headers, offered, encoding, varies) in [
            (asks, Encoding::ALL, Some("gzip"), true),
            (asks, &[Encoding::Zstd], Some("zstd"), true),
            (asks, &[], None, false),
            (&[], Encoding::ALL, None, true),
        ] {
            let resume = read("", headers).unwrap().compress(offered.iter().copied());
            assert_eq!(resume.encoding().map(Encoding::as_str), encoding);
            let reply = resume.open(&channel).await.into_response();
            let header = |name| reply.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header(header::CONTENT_ENCODING), encoding);
            assert_eq!(header(header::VARY), varies.then_some("accept-encoding"));
            assert_eq!(header(header::CACHE_CONTROL), Some("no-store, no-transform"));
        }
        let json = read("", &[asks[0], ("accept", b"application/json")]).unwrap();
        let reply = json.compress(Encoding::ALL.iter().copied()).open(&channel).await.into_response();
        assert!(!reply.headers().contains_key(header::CONTENT_ENCODING), "a small answer");
    }

    #[test]
    fn a_selection_is_bounded() {
        for name in ["topic", "key", "tag", "event"] {
            let query = |count| vec![format!("{name}=a"); count].join("&");
            assert!(read(&query(MOST_VALUES), &[]).is_ok(), "{name}");
            let refused = read(&query(MOST_VALUES + 1), &[]).unwrap_err();
            assert_eq!(refused.status(), 400);
            assert!(refused.message().contains("257 times: 256 at most"), "{refused}");
        }
    }

    #[test]
    fn a_start_is_read() {
        assert_eq!(read("since=earliest", &[]).unwrap().resume.start, Some(Start::Earliest));
        assert_eq!(read("", &[]).unwrap().resume.start, None, "the channel's own");
    }

    #[test]
    fn head_asks_for_the_cursor_whatever_it_accepts() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html"));
        let resume = Resume::from_head(&Method::HEAD, None, &headers).unwrap();
        assert_eq!(resume.wants, Wants::Cursor);
        assert_eq!(Resume::from_head(&Method::GET, None, &headers).unwrap_err().status(), 406);
    }
}
