//! The negative control of the web suite: for every check a server that breaks what the check holds, and is caught.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod support;

use std::{convert::Infallible, io};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, BodyStream, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use support::Site;
use tidewater_http::{Body, LAST_EVENT_ID, Peer, TIDEWATER_CURSOR};
use tidewater_hub::UpstreamState;
use tidewater_testkit::web::{self, Mount, Running, Server};

/// What a server does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    LosesBlankLines,
    ChangesAByte,
    AddsAHeader,
    LosesTheCursor,
    LosesTheCoding,
    TakesAnyMethod,
    TakesAnyAccept,
    LosesTheHeadersId,
    PrefersTheQuerysId,
    RefusesIds,
    LosesTheQuery,
    LosesTheBody,
    LosesTheOrigin,
    LosesCredentials,
    LosesTheChallenge,
    RefusesWithoutAVerdict,
    ReflectsTheOrigin,
    KeepsClientsThatWent,
    CutsWhenStopped,
    IsBusyWhenDraining,
    IsBusyWhenDown,
    IsBusyWhenFull,
    LosesThePeer,
    PanicsAtLongQueries,
    IsBusyWithLongQueries,
    AnswersWithTheQuery,
    LosesForwarding,
}

#[derive(Debug)]
struct Faulty(Fault);

#[async_trait]
impl Server for Faulty {
    async fn start(&self, mut mount: Mount) -> io::Result<Running> {
        let fault = self.0;
        if fault != Fault::CutsWhenStopped {
            return support::serve(mount, move |site, request| route(fault, site, request)).await;
        }
        let stop = std::mem::replace(&mut mount.stop, Box::pin(std::future::pending()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let served = runtime.spawn(support::serve(mount, move |site, request| route(fault, site, request)));
        let Running { address, .. } = served.await.unwrap()?;
        let done = tokio::spawn(async move {
            stop.await;
            runtime.shutdown_background();
        });
        Ok(Running { address, done })
    }
}

async fn route(
    fault: Fault,
    site: Site,
    mut request: Request<Incoming>,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let down = site.channel.status().upstream != UpstreamState::Live;
    let long = request.uri().query().is_some_and(|query| query.len() > 10_000);
    let key = request.uri().query().and_then(|query| query.strip_prefix("key=")).map(str::to_owned);
    match fault {
        Fault::TakesAnyMethod if *request.method() != Method::OPTIONS => *request.method_mut() = Method::GET,
        Fault::TakesAnyAccept => {
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        }
        Fault::LosesTheHeadersId => {
            request.headers_mut().remove(LAST_EVENT_ID);
        }
        Fault::PrefersTheQuerysId if request.uri().query().is_some_and(|query| query.contains("id=")) => {
            request.headers_mut().remove(LAST_EVENT_ID);
        }
        Fault::RefusesIds if request.headers().get(LAST_EVENT_ID).is_some_and(|id| id.len() < 10) => {
            return boxed(support::status(StatusCode::BAD_REQUEST));
        }
        Fault::LosesTheQuery => *request.uri_mut() = Uri::try_from(request.uri().path()).unwrap(),
        Fault::LosesTheBody => {
            let length = HeaderValue::from_static("0");
            request.headers_mut().insert(header::CONTENT_LENGTH, length);
            while request.body_mut().frame().await.is_some() {}
        }
        Fault::PanicsAtLongQueries => assert!(!long, "as it should"),
        Fault::IsBusyWithLongQueries if long => {
            return boxed(support::status(StatusCode::SERVICE_UNAVAILABLE));
        }
        Fault::LosesThePeer => {
            request.extensions_mut().remove::<Peer>();
        }
        Fault::LosesForwarding => {
            request.headers_mut().remove("x-forwarded-for");
        }
        Fault::LosesCredentials => {
            request.headers_mut().remove(header::AUTHORIZATION);
        }
        Fault::RefusesWithoutAVerdict
            if request.headers().get(header::AUTHORIZATION).is_some_and(|name| name == "Bearer later") =>
        {
            return boxed(support::status(StatusCode::SERVICE_UNAVAILABLE));
        }
        Fault::LosesTheOrigin => {
            request.headers_mut().remove(header::ORIGIN);
        }
        Fault::IsBusyWhenDraining if site.channel.hub().is_draining() => {
            return boxed(support::status(StatusCode::SERVICE_UNAVAILABLE));
        }
        Fault::IsBusyWhenDown if down => return boxed(support::status(StatusCode::SERVICE_UNAVAILABLE)),
        _ => {}
    }
    let limits = site.limits.clone();
    let mut response = support::route(site, request).await;
    if fault == Fault::IsBusyWhenFull && limits.status().streams.refused_by_address > 0 {
        return boxed(support::status(StatusCode::SERVICE_UNAVAILABLE));
    }
    match (fault, origin) {
        (Fault::AddsAHeader, _) => {
            response.headers_mut().insert("x-powered-by", HeaderValue::from_static("hyper"));
        }
        (Fault::LosesTheCursor, _) => {
            response.headers_mut().remove(TIDEWATER_CURSOR);
        }
        (Fault::AnswersWithTheQuery, _) => {
            if let Some(key) = key.and_then(|key| HeaderValue::try_from(key).ok()) {
                response.headers_mut().insert("x-key", key);
            }
        }
        (Fault::LosesTheCoding, _) => {
            response.headers_mut().remove(header::CONTENT_ENCODING);
        }
        (Fault::LosesTheChallenge, _) => {
            response.headers_mut().remove(header::WWW_AUTHENTICATE);
        }
        (Fault::ReflectsTheOrigin, Some(origin)) => {
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        _ => {}
    }
    match fault {
        Fault::LosesBlankLines => edited(response, |data| data.strip_suffix(b"\n").unwrap_or(data).to_vec()),
        Fault::ChangesAByte => edited(response, |data| {
            data.iter().map(|byte| if *byte == b'p' { b'b' } else { *byte }).collect()
        }),
        Fault::KeepsClientsThatWent => response.map(detached),
        _ => boxed(response),
    }
}

fn boxed(response: Response<Body>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    response.map(BodyExt::boxed_unsync)
}

/// The same with every piece of the body edited.
fn edited(
    response: Response<Body>,
    edit: fn(&[u8]) -> Vec<u8>,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    response.map(|body| {
        body.map_frame(move |frame| frame.map_data(|data| Bytes::from(edit(&data)))).boxed_unsync()
    })
}

/// A body that is read on, whether anybody takes it or not.
fn detached(body: Body) -> UnsyncBoxBody<Bytes, Infallible> {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut frames = BodyStream::new(body);
        while let Some(frame) = frames.next().await {
            send.send(frame).ok();
        }
    });
    let frames = stream::unfold(receive, |mut receive| async {
        let frame: Result<Frame<Bytes>, Infallible> = receive.recv().await?;
        Some((frame, receive))
    });
    StreamBody::new(frames).boxed_unsync()
}

macro_rules! caught {
    ($($check:ident: $($fault:ident),+;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                for fault in [$(Fault::$fault),+] {
                    let failure = web::$check(&Faulty(fault)).await;
                    println!("{fault:?}: {failure:?}");
                    assert!(failure.is_err(), "{fault:?} was not caught");
                }
            }
        )+
    };
}

caught! {
    the_bytes_are_the_hubs: LosesBlankLines, ChangesAByte;
    the_headers_are_the_endpoints: AddsAHeader, LosesTheCursor;
    a_compressed_stream_is_whole: LosesTheCoding, CutsWhenStopped;
    head_and_json_answer_the_cursor: LosesTheCursor, TakesAnyMethod, TakesAnyAccept;
    wrong_methods_are_refused: TakesAnyMethod;
    an_accept_that_excludes_streams_is_refused: TakesAnyAccept;
    i1_the_last_id_resumes_and_the_header_wins: LosesTheHeadersId, PrefersTheQuerysId, LosesTheQuery;
    i3_ids_that_cannot_be_served_are_gaps_never_errors: RefusesIds, LosesTheHeadersId;
    since_sets_the_start: LosesTheQuery;
    selections_narrow_the_stream: LosesTheQuery;
    a_post_publishes: LosesTheQuery, LosesTheBody;
    a_post_is_refused_for_cause: LosesTheOrigin, LosesTheQuery;
    cors_is_for_listed_origins: ReflectsTheOrigin, LosesTheOrigin;
    bad_input_is_refused_or_served: PanicsAtLongQueries, IsBusyWithLongQueries, AnswersWithTheQuery, KeepsClientsThatWent;
    requests_get_what_they_are_granted: LosesCredentials, LosesTheChallenge, LosesTheQuery;
    i10_a_stream_ends_when_its_grant_is_over: LosesCredentials, RefusesWithoutAVerdict;
    a_client_that_goes_is_noticed: KeepsClientsThatWent;
    i9_shutdown_ends_streams: CutsWhenStopped;
    i9_a_stream_while_draining_is_told_to_come_back: IsBusyWhenDraining;
    i10_a_source_that_is_down_turns_nobody_away: IsBusyWhenDown;
    i10_a_stream_over_the_limit_is_told_to_come_back:
        IsBusyWhenFull, LosesThePeer, LosesForwarding, KeepsClientsThatWent;
    a_proxy_that_is_not_trusted_puts_limits_per_address_off: LosesThePeer, LosesForwarding;
    a_post_over_the_rate_is_refused: LosesThePeer, LosesForwarding, LosesTheOrigin;
}
