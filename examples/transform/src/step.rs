//! The steps: pure functions from a message to what goes out.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;
use tidewater::{Error, ErrorKind, Message, Outgoing, Result};

/// The same JSON without the field `card`, the event named by the field `type`.
///
/// A page then listens to what it wants: `events.addEventListener("order.paid", …)`, or asks for nothing else with
/// `?event=order.paid`.
pub(crate) fn without_card(message: &Message) -> Result<Option<Outgoing>> {
    let mut order: Value = parse(message)?;
    let Some(fields) = order.as_object_mut() else {
        return Err(Error::new(ErrorKind::Rejected, "an order is a JSON object"));
    };
    fields.remove("card");
    // A name that can't be an event's goes out as `message`, counted: no message is lost by its name.
    let name = fields.remove("type").and_then(|name| name.as_str().map(str::to_owned));
    let outgoing = Outgoing::new(order.to_string());
    Ok(Some(match name {
        Some(name) => outgoing.event(name),
        None => outgoing,
    }))
}

/// A row of a table for each order that is new, to be put into the page as it is; nothing for the rest.
pub(crate) fn fragment(message: &Message) -> Result<Option<Outgoing>> {
    #[derive(Deserialize)]
    struct Order {
        r#type: String,
        order: u64,
        customer: String,
        total: u64,
    }

    let Order { r#type: step, order, customer, total } = parse(message)?;
    if step != "order.created" {
        // Sends nothing, and moves the client's place all the same.
        return Ok(None);
    }
    let customer = escape(&customer);
    let row = format!(
        "<tr>\n  <td>{order}</td><td>{customer}</td><td>{}.{:02}</td>\n</tr>",
        total / 100,
        total % 100
    );
    Ok(Some(Outgoing::new(row).event("row")))
}

fn parse<'a, T: Deserialize<'a>>(message: &'a Message) -> Result<T> {
    let payload = message.payload.as_deref().unwrap_or_default();
    serde_json::from_slice(payload)
        .map_err(|error| Error::new(ErrorKind::Rejected, "not an order").with_source(error))
}

/// What a customer is called must not become a tag.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' | '<' | '>' | '"' | '\'' => write!(escaped, "&#{};", u32::from(char)).unwrap_or_default(),
            _ => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn message(payload: &'static str) -> Message {
        Message::new("orders", payload)
    }

    #[test]
    fn the_card_is_removed_and_the_type_is_the_name() {
        let message = message(r#"{"type":"order.paid","order":7,"card":"4111"}"#);
        let outgoing = without_card(&message).unwrap().unwrap();
        assert_eq!(outgoing.event.as_deref(), Some("order.paid"));
        assert_eq!(outgoing.data.as_str(), r#"{"order":7}"#);
    }

    #[test]
    fn what_is_no_order_is_an_error_and_so_a_gap() {
        for payload in ["no JSON at all", "[]", "\"x\""] {
            assert!(without_card(&message(payload)).is_err(), "{payload}");
            assert!(fragment(&message(payload)).is_err(), "{payload}");
        }
    }

    #[test]
    fn a_customer_cannot_write_html() {
        let order = r#"{"type":"order.created","order":7,"customer":"<img src=x onerror='a'>","total":1205}"#;
        let outgoing = fragment(&message(order)).unwrap().unwrap();
        let row = outgoing.data.as_str();
        assert!(row.contains("&#60;img") && !row.contains("<img") && row.contains("12.05"), "{row}");
    }

    #[test]
    fn only_new_orders_become_rows() {
        let paid = r#"{"type":"order.paid","order":7,"customer":"Ada","total":1200}"#;
        assert_eq!(fragment(&message(paid)).unwrap(), None);
    }
}
