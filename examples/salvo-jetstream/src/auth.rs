//! Who is it? The application's own business: Tidewater only ever sees the answer.
//!
//! A page logs in with a form and has a cookie from then on, which the browser sends with its `EventSource` too (an
//! `EventSource` can't send headers of its own). A program sends `Authorization: Bearer TOKEN`.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use salvo::{http::HeaderMap, http::header, prelude::*};

/// Name, password, token for programs. An application has a database, and hashes.
const USERS: [(&str, &str, &str); 2] =
    [("ada", "lovelace", "ada-reads-notices"), ("bob", "builder", "bob-reads-notices")];

/// A user who has proven it.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: String,
}

/// Who has logged in, by the secret in their cookie.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, User>>);

impl Sessions {
    pub(crate) fn log_in(&self, id: &str, password: &str) -> Option<String> {
        let (id, ..) = USERS.iter().find(|(name, own, _)| *name == id && *own == password)?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).ok()?;
        let mut secret = String::new();
        for byte in random {
            write!(secret, "{byte:02x}").ok()?;
        }
        self.lock().insert(secret.clone(), User { id: (*id).to_owned() });
        Some(secret)
    }

    fn log_out(&self, headers: &HeaderMap) {
        if let Some(secret) = cookie(headers) {
            self.lock().remove(secret);
        }
    }

    fn find(&self, headers: &HeaderMap) -> Option<User> {
        if let Some(user) = cookie(headers).and_then(|secret| self.lock().get(secret).cloned()) {
            return Some(user);
        }
        let sent = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let (id, ..) = USERS.iter().find(|(.., token)| *token == sent)?;
        Some(User { id: (*id).to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of the cookie `session`.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split("; ")).find_map(|one| one.strip_prefix("session="))
}

/// Puts the [`User`] into the depot, if there is one.
pub(crate) struct Identify(pub(crate) Arc<Sessions>);

#[handler]
impl Identify {
    async fn handle(&self, req: &mut Request, depot: &mut Depot) {
        if let Some(user) = self.0.find(req.headers()) {
            depot.insert_typed(user);
        }
    }
}

/// `POST /login` with `user` and `password`.
pub(crate) struct Login(pub(crate) Arc<Sessions>);

#[handler]
impl Login {
    async fn handle(&self, req: &mut Request, res: &mut Response) {
        let user: String = req.form("user").await.unwrap_or_default();
        let password: String = req.form("password").await.unwrap_or_default();
        match self.0.log_in(&user, &password) {
            // With TLS in front, `Secure` belongs here too.
            Some(secret) => set_cookie(res, &format!("session={secret}; HttpOnly; SameSite=Lax; Path=/")),
            None => res.render(StatusError::unauthorized().brief("No such user, or not this password.")),
        }
    }
}

/// `POST /logout`. Streams that are open go on: an application that wants to end them keeps their handles.
pub(crate) struct Logout(pub(crate) Arc<Sessions>);

#[handler]
impl Logout {
    async fn handle(&self, req: &mut Request, res: &mut Response) {
        self.0.log_out(req.headers());
        set_cookie(res, "session=; Max-Age=0; Path=/");
    }
}

fn set_cookie(res: &mut Response, cookie: &str) {
    if let Ok(value) = cookie.parse() {
        res.headers_mut().insert(header::SET_COOKIE, value);
    }
    res.render(Redirect::other("/"));
}
