//! The standard's text, as `literal` has it, against every vector: what the decoder is compared with must be right.

#![allow(clippy::unwrap_used)]

use tidewater_fuzz::{
    literal,
    reading::{Item, Reading},
    vectors,
};

#[test]
fn every_vector_is_read_as_it_should_be() {
    let vectors = vectors::streams().unwrap();
    assert_eq!(vectors.len(), 110);
    for vector in &vectors {
        let name = &vector.name;
        let mut all = Vec::new();
        let mut reading = Reading::default();
        for stream in vector.streams() {
            reading = literal::read(&stream, &reading);
            all.append(&mut reading.items.clone());
        }
        let events = all.iter().filter(|item| matches!(item, Item::Event { .. })).cloned();
        let wanted = vector.expected_events.iter().map(|event| Item::Event {
            event_type: event.r#type.clone(),
            data: event.data.clone(),
            last_event_id: event.last_event_id.clone(),
        });
        assert_eq!(events.collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "events of {name}");
        assert_eq!(reading.retry, vector.expected_retry, "retry of {name}");
        if let Some(wanted) = &vector.expected_last_event_id {
            assert_eq!(&reading.last_event_id, wanted, "last event id of {name}");
        }
        if let Some(wanted) = &vector.expected_comments {
            let comments = all.iter().filter_map(|item| match item {
                Item::Comment(comment) => Some(comment),
                _ => None,
            });
            assert_eq!(comments.collect::<Vec<_>>(), wanted.iter().collect::<Vec<_>>(), "comments of {name}");
        }
    }
}

#[test]
fn items_come_in_the_order_of_their_lines() {
    let read =
        literal::read(b":a\nretry: 5\ndata: x\r:b\nid: 1\r\n\r\nretry: 6\ndata: lost", &Reading::default());
    let event = Item::Event { event_type: "message".into(), data: "x".into(), last_event_id: "1".into() };
    let items = [Item::Comment("a".into()), Item::Retry(5), Item::Comment("b".into()), event, Item::Retry(6)];
    assert_eq!(read, Reading { items: items.into(), last_event_id: "1".into(), retry: Some(6) });
}
