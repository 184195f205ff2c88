//! A company sees its own vehicles only, whatever it asks for. Over a memory log: no broker is needed for that.

#![allow(clippy::unwrap_used)]

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tidewater::Start;
use tower::ServiceExt as _;

use super::*;
use place::Place;

/// The application with some places of both companies.
async fn site(log: &str) -> (Channel, Router) {
    let url = format!("memory:{log}");
    let channel = Hub::new().channel("places").source(url.as_str()).sink(url.as_str());
    let places = channel.map(place::step).start(Start::Earliest).open().unwrap();
    for company in ["north", "south", "north"] {
        let (company, vehicle) = (company.to_owned(), format!("{company}-1"));
        feed::publish(&places, &Place { company, vehicle, x: 0.5, y: 0.25 }).await.unwrap();
    }
    (places.clone(), app(places))
}

/// The answer to the end; a stream is ended from this side, so that what has come by then is all that there was.
async fn get(log: &str, path: &str, login: &str) -> (StatusCode, String) {
    let (places, app) = site(log).await;
    let request = Request::get(path).header(header::AUTHORIZATION, login).body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let drained = places.hub().drain(std::time::Duration::from_secs(20));
    let (bytes, ()) = tokio::join!(to_bytes(body, 1 << 20), drained);
    (head.status, String::from_utf8(bytes.unwrap().to_vec()).unwrap())
}

fn login(company: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{company}:{password}")))
}

#[tokio::test]
async fn a_company_sees_its_own() {
    for (company, password, count) in [("north", "star", 2), ("south", "sea", 1)] {
        let (status, text) = get(company, "/events", &login(company, password)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(text.matches("data: {\"vehicle\"").count(), count, "{text}");
        assert_eq!(text.matches(&format!("{company}-1")).count(), count, "{text}");
    }
}

#[tokio::test]
async fn asking_for_another_gives_nothing() {
    let (status, text) = get("another", "/events?tag=south", &login("north", "star")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("tidewater.cursor") && !text.contains("vehicle"), "{text}");
}

#[tokio::test]
async fn nobody_gets_nothing() {
    for login in [login("north", "sea"), login("east", ""), "Basic %".to_owned(), "Bearer north".to_owned()] {
        for path in ["/", "/events"] {
            let (status, text) = get("nobody", path, &login).await;
            assert_eq!((status, text.as_str()), (StatusCode::UNAUTHORIZED, ""), "{path} {login}");
        }
    }
}
