//! A JetStream stream with salvo, each user seeing only what is for them: `cargo xtask examples salvo-jetstream`.

mod auth;
mod feed;
#[cfg(test)]
mod tests;

use std::{env, sync::Arc};

use salvo::{prelude::*, writing::Text};
use tidewater::{
    Channel, Hub, Select,
    salvo::{Reply, Resume},
};
use tokio::signal;

use auth::{Sessions, User};

/// The events of the user who asks, whom the hoop `auth::identify` has found.
struct Events(Channel);

#[handler]
impl Events {
    async fn handle(&self, resume: Resume, depot: &mut Depot) -> Result<Reply, StatusError> {
        // An `EventSource` gives up for good on a 401, and that is right: the page sends its user to the login.
        let user: &User = depot.get_typed().map_err(|_| StatusError::unauthorized())?;
        // The key of a notice is whom it is for. What the request itself selects (`?key=bob`) can only narrow this:
        // nobody gets past what the handler says.
        Ok(resume.open_selected(&self.0, Select::key(user.id.clone())).await)
    }
}

#[handler]
async fn page(depot: &mut Depot) -> Text<&'static str> {
    match depot.get_typed::<User>() {
        Ok(_) => Text::Html(include_str!("page.html")),
        Err(_) => Text::Html(include_str!("login.html")),
    }
}

fn routes(notices: Channel, sessions: Arc<Sessions>) -> Router {
    Router::new()
        .hoop(auth::Identify(sessions.clone()))
        .get(page)
        .push(Router::with_path("login").post(auth::Login(sessions.clone())))
        .push(Router::with_path("logout").post(auth::Logout(sessions)))
        .push(Router::with_path("events").get(Events(notices)))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let nats = env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let host = nats.trim_start_matches("nats://");

    let hub = Hub::new();
    let notices = hub
        .channel("notices")
        .source(format!("jetstream://{host}/{}", feed::STREAM))
        .sink(format!("jetstream://{host}/{}/notices.new", feed::STREAM))
        .open()?;
    tokio::spawn(feed::run(nats, notices.clone()));

    let listener = TcpListener::new(listen.clone()).try_bind().await?;
    let server = Server::new(listener);
    // salvo alone would wait for open streams for ever: this ends them first, each with a time to come back.
    tokio::spawn(tidewater::salvo::graceful(&hub, server.handle(), async {
        signal::ctrl_c().await.ok();
    }));
    eprintln!("The page is at http://{listen}/ (ada/lovelace, bob/builder)");
    server.serve(routes(notices, Arc::default())).await;
    Ok(())
}
