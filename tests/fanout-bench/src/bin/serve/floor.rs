//! The floor: one thread, one epoll, and for each event one ready-made buffer that is written to every socket. What
//! the kernel leaves for anybody who writes once per event and client.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use anyhow::Result;
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
    fd::OwnedFd,
    net::{AddressFamily, SocketType, bind, listen, socket, sockopt},
};
use tidewater_fanout_bench::payload;

const CLIENTS: u64 = 0;
const CONTROL: u64 = 1;
const FIRST: u64 = 2;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\
    transfer-encoding: chunked\r\n\r\n";

enum Peer {
    Feed(TcpStream, Vec<u8>),
    Client(Client),
}

struct Client {
    socket: TcpStream,
    /// Whether its request has come.
    asked: bool,
    /// What the socket did not take.
    rest: Vec<u8>,
}

pub(crate) fn serve(address: SocketAddr, control: SocketAddr) -> Result<()> {
    let (clients, control) = (listener(address)?, listener(control)?);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &clients, EventData::new_u64(CLIENTS), EventFlags::IN)?;
    epoll::add(&epoll, &control, EventData::new_u64(CONTROL), EventFlags::IN)?;
    let mut peers: HashMap<u64, Peer> = HashMap::new();
    let (mut next, mut ready, mut buffer) = (FIRST, Vec::with_capacity(1024), vec![0; 64 << 10]);
    loop {
        ready.clear();
        epoll::wait(&epoll, spare_capacity(&mut ready), None)?;
        for event in &ready {
            let token = event.data.u64();
            match token {
                CLIENTS | CONTROL => {
                    let (socket, _) = if token == CLIENTS { &clients } else { &control }.accept()?;
                    socket.set_nonblocking(true)?;
                    epoll::add(&epoll, &socket, EventData::new_u64(next), EventFlags::IN)?;
                    let peer = if token == CLIENTS {
                        Peer::Client(Client { socket, asked: false, rest: Vec::new() })
                    } else {
                        Peer::Feed(socket, Vec::new())
                    };
                    peers.insert(next, peer);
                    next += 1;
                }
                _ => {
                    let mut events = Vec::new();
                    let stays = match peers.get_mut(&token) {
                        Some(Peer::Feed(socket, waiting)) => feed(socket, waiting, &mut buffer, &mut events)?,
                        Some(Peer::Client(client)) => {
                            client.ready(event.flags, &mut buffer, &epoll, token)?
                        }
                        None => true,
                    };
                    if !stays {
                        peers.remove(&token);
                    }
                    for event in &events {
                        write_to_all(&mut peers, event, &epoll)?;
                    }
                }
            }
        }
    }
}

fn listener(address: SocketAddr) -> Result<TcpListener> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, 4096)?;
    Ok(socket.into())
}

/// Reads frames, and makes each a chunk that holds an event. Answers whether there may be more.
fn feed(
    socket: &mut TcpStream,
    waiting: &mut Vec<u8>,
    buffer: &mut [u8],
    events: &mut Vec<Vec<u8>>,
) -> Result<bool> {
    let count = socket.read(buffer)?;
    waiting.extend(&buffer[..count]);
    let mut taken = 0;
    while let Some((_, data)) = payload::first_frame(&waiting[taken..])? {
        let (number, _) = payload::read(&waiting[taken..][data.clone()]).unwrap_or_default();
        let mut event = format!("id: {number}\ndata: ").into_bytes();
        event.extend(&waiting[taken..][data.clone()]);
        event.extend(b"\n\n");
        let mut chunk = format!("{:x}\r\n", event.len()).into_bytes();
        chunk.extend(event);
        chunk.extend(b"\r\n");
        events.push(chunk);
        taken += data.end;
    }
    waiting.drain(..taken);
    Ok(count > 0)
}

fn write_to_all(peers: &mut HashMap<u64, Peer>, event: &[u8], epoll: &OwnedFd) -> Result<()> {
    let mut gone = Vec::new();
    for (token, peer) in peers.iter_mut() {
        if let Peer::Client(client) = peer
            && client.asked
            && !client.write(event, epoll, *token)?
        {
            gone.push(*token);
        }
    }
    for token in gone {
        peers.remove(&token);
    }
    Ok(())
}

impl Client {
    fn ready(&mut self, flags: EventFlags, buffer: &mut [u8], epoll: &OwnedFd, token: u64) -> Result<bool> {
        if flags.contains(EventFlags::OUT) {
            let rest = std::mem::take(&mut self.rest);
            epoll::modify(epoll, &self.socket, EventData::new_u64(token), EventFlags::IN)?;
            return self.write(&rest, epoll, token);
        }
        match self.socket.read(buffer) {
            Ok(0) | Err(_) => Ok(false),
            Ok(count) => {
                if !self.asked && buffer[..count].ends_with(b"\r\n\r\n") {
                    self.asked = true;
                    return self.write(HEAD, epoll, token);
                }
                Ok(true)
            }
        }
    }

    /// Answers whether the client is still there.
    fn write(&mut self, bytes: &[u8], epoll: &OwnedFd, token: u64) -> Result<bool> {
        let taken = if self.rest.is_empty() {
            match self.socket.write(bytes) {
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return Ok(false),
            }
        } else {
            0
        };
        if taken < bytes.len() {
            if self.rest.is_empty() {
                let flags = EventFlags::IN | EventFlags::OUT;
                epoll::modify(epoll, &self.socket, EventData::new_u64(token), flags)?;
            }
            self.rest.extend(&bytes[taken..]);
        }
        Ok(true)
    }
}
