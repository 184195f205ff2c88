//! What fuzzing starts from: the vectors, as inputs of the targets; and streams of the sizes at which the decoder goes
//! other ways, which it would take libFuzzer long to grow.

use std::io;

use tidewater_core::{Cursor, EpochTag, OpaqueId, Position, TopicTag};

use crate::{feeding::Feeding, vectors};

/// The seeds of a target.
///
/// # Errors
/// Vectors that cannot be read.
pub fn of(target: &str) -> io::Result<Vec<Vec<u8>>> {
    match target {
        "decode" => streams(),
        "split" => Ok(streams()?.iter().enumerate().map(|(at, stream)| split(at, stream)).collect()),
        "encode" => encode(),
        "cursor" => Ok(cursors().iter().map(|cursor| cursor.to_string().into_bytes()).collect()),
        "head" => Ok(heads()),
        "forwarded" => Ok(forwarded()),
        _ => Ok(Vec::new()),
    }
}

fn streams() -> io::Result<Vec<Vec<u8>>> {
    let mut streams: Vec<Vec<u8>> =
        vectors::streams()?.iter().flat_map(|vector| vector.streams()).filter(|s| !s.is_empty()).collect();
    let short: Vec<&[u8]> = streams.iter().map(Vec::as_slice).filter(|stream| stream.len() < 300).collect();
    // One behind the other, until they are as long as chunks that the decoder does not copy.
    let mut long: Vec<Vec<u8>> = short.chunks(8).map(<[_]>::concat).collect();
    long.push("data\n".repeat(1_100).into_bytes());
    // Many line ends for chunks to cut.
    long.extend(vec!["data: a\r\nid\r\n\r\n".repeat(80).into_bytes(); 4]);
    let value = "é value ".repeat(460);
    long.push(format!("data:  {value} \r\n\r\ndata: a\n").into_bytes());
    long.push(format!("data: a\ndata:  {value}\ndata: b\n\n").into_bytes());
    long.push(format!(":{value}\nid: {value}\n\n").into_bytes());
    long.push("event: price\ndata: 12.50\nid: 7\n\n".repeat(12).into_bytes());
    long.push([&b"data: \xff\xe2\x82\ndata: x\xf0\x9f\r\n\r\n:\xc0\xaf\n"[..]; 10].concat());
    streams.append(&mut long);
    Ok(streams)
}

/// The stream behind limits and two ways to feed it, which differ from seed to seed; and some end in the middle.
fn split(at: usize, stream: &[u8]) -> Vec<u8> {
    const LIMITS: [[u8; 2]; 6] = [[255, 255], [24, 24], [255, 40], [10, 40], [40, 255], [130, 131]];
    let limits = LIMITS[if stream.len() > 1000 { 0 } else { at % LIMITS.len() }];
    // Byte by byte, whole, and in chunks of all lengths.
    let (by_byte, whole) = ([0x21; Feeding::BYTES], [0x3f; Feeding::BYTES]);
    let mixed = |factor: usize| std::array::from_fn(|step| ((at + 3) * factor * (step + 5)) as u8);
    let (one, other) = match at % 4 {
        0 => (by_byte, whole),
        1 => (mixed(11), by_byte),
        _ => (mixed(11), mixed(29)),
    };
    let end = if at.is_multiple_of(3) { stream.len() * 3 / 4 } else { stream.len() };
    [&limits[..], &[at as u8], &one, &other, &stream[..end]].concat()
}

/// The attacks, each between two frames of no harm.
fn encode() -> io::Result<Vec<Vec<u8>>> {
    let attacks = vectors::attacks()?.into_iter().enumerate();
    Ok(attacks
        .map(|(at, attack)| {
            let mut seed = vec![(at * 37) as u8; Feeding::BYTES];
            let plain = [Some("c"), None, Some("name"), Some("data"), Some("1")];
            let fields = &attack.fields;
            let own = [&fields.comment, &None, &fields.event, &fields.data, &fields.id];
            for frame in [plain, own.map(|text| text.as_deref()), plain] {
                frame.iter().for_each(|text| put(&mut seed, *text));
            }
            seed
        })
        .collect())
}

/// A field as `Option<Text>` is read.
fn put(seed: &mut Vec<u8>, text: Option<&str>) {
    seed.push(text.is_some().into());
    if let Some(text) = text {
        let bytes = &text.as_bytes()[..text.len().min(255)];
        seed.push(bytes.len() as u8);
        seed.extend_from_slice(bytes);
    }
}

fn cursors() -> Vec<Cursor> {
    let mut cursor = Cursor::default();
    let mut cursors = vec![cursor.clone()];
    for partition in 0..16 {
        cursor.raise(TopicTag(1), EpochTag(2), partition, (1 << 35) - 1);
        cursors.push(cursor.clone());
    }
    cursor.raise(TopicTag(u32::MAX), EpochTag(u32::MAX), 3, u64::MAX);
    cursors.push(cursor.clone());
    if let Ok(id) = OpaqueId::new("1700000000-0") {
        cursor.advance(TopicTag(2), EpochTag(0), 0, &Position::Opaque(id));
        cursors.push(cursor);
    }
    cursors
}

/// Heads of a browser, and what smuggling tries.
fn heads() -> Vec<Vec<u8>> {
    const BROWSER: &str = "Host: localhost:8080\r\nConnection: keep-alive\r\nAccept: text/event-stream\r\n\
        Cache-Control: no-store\r\nLast-Event-ID: AQ_x1\r\nCookie: session=1; other=\"2\"\r\n\r\n";
    let mut heads: Vec<String> =
        ["/", "/events?key=a&key=%20b", "/channels/orders", "*", "http://x/", "/ ", "//x#y"]
            .map(|target| format!("GET {target} HTTP/1.1\r\n{BROWSER}"))
            .into();
    for field in [
        "Content-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Host: other",
        "X: 1\r\n folded",
        "X: 1\nY: 2",
        "X: 1\rY: 2",
        "Upgrade: h2c",
        "Expect: 100-continue",
    ] {
        heads.push(format!("GET / HTTP/1.1\r\n{field}\r\n{BROWSER}"));
    }
    heads.push(format!("GET / HTTP/1.1\r\n{BROWSER}GET /other HTTP/1.1\r\n{BROWSER}"));
    heads.push(format!("POST / HTTP/1.1\r\n{BROWSER}"));
    heads.push(format!("GET / HTTP/1.0\r\n{BROWSER}"));
    heads.push("GET / HTTP/1.1\nHost: x\n\n".into());
    heads.push("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into());
    (1_u16..).zip(heads).map(|(at, head)| [&(at * 7).to_le_bytes()[..], head.as_bytes()].concat()).collect()
}

/// What clients write to be taken for others, each before proxies that write in all ways.
fn forwarded() -> Vec<Vec<u8>> {
    const WRITTEN: [&str; 14] = [
        "",
        "1.1.1.1",
        "1.1.1.1, 10.0.0.9",
        "1.1.1.1,",
        "1.1.1.1\n10.0.0.9",
        "unknown, _hidden, [::1]:80, ::ffff:10.0.0.1",
        "for=1.1.1.1",
        "for=\"[2001:db8:aa::9]:4711\";by=10.0.0.9, for=10.0.0.8",
        "for=1.1.1.1;x=\"",
        "for=\"1.1.1.1\\",
        "for=1.1.1.1, for=\"\nfor=\"",
        "for=_hidden;for=unknown,, ; =",
        "10.0.0.9,10.0.0.9,10.0.0.9,10.0.0.9,10.0.0.9,10.0.0.9,10.0.0.9,10.0.0.9,10.0.0.9,10.0.0.9",
        "for=\"a, for=1.1.1.1\", for=\"b\"",
    ];
    let seeds = WRITTEN.iter().flat_map(|written| (0..24_u8).map(move |how| (how, written)));
    seeds.map(|(how, written)| [&[how], written.as_bytes()].concat()).collect()
}
