//! Another server on this machine: an issuer's or an application's.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A request that it got.
#[derive(Clone, Debug)]
pub struct Got {
    pub headers: HeaderMap,
    pub body: String,
}

type Answers = Box<dyn Fn(&Got) -> (u16, String) + Send>;

#[derive(Clone)]
pub struct Other {
    address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
    pub got: Arc<Mutex<Vec<Got>>>,
    /// How long each answer takes, in milliseconds.
    pub takes: Arc<AtomicUsize>,
}

impl Other {
    pub async fn new(answers: impl Fn(&Got) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::new(Mutex::new(Box::new(answers))),
            got: Arc::default(),
            takes: Arc::default(),
        };
        let server = other.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let server = server.clone();
                let service = service_fn(move |request| server.clone().answer(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        other
    }

    pub fn url(&self) -> String {
        format!("http://{}/asked?of=it", self.address)
    }

    pub fn answers(&self, answers: impl Fn(&Got) -> (u16, String) + Send + 'static) {
        *self.answers.lock().unwrap() = Box::new(answers);
    }

    pub fn times(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        assert_eq!(parts.uri.path(), "/asked");
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let got = Got { headers: parts.headers, body };
        self.got.lock().unwrap().push(got.clone());
        let (status, text) = (self.answers.lock().unwrap())(&got);
        let takes = self.takes.load(Ordering::Relaxed);
        if takes > 0 {
            tokio::time::sleep(Duration::from_millis(takes as u64)).await;
        }
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status.try_into().unwrap();
        if status == 302 {
            response.headers_mut().insert("location", self.url().parse().unwrap());
        }
        Ok(response)
    }
}

/// A URL at which nobody listens.
pub async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}
