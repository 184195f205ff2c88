//! A shop that never sleeps, so that the page has something to show. Any other producer would do.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use serde_json::json;
use tidewater::{Channel, Headers, Message};

use crate::TOPIC;

const CUSTOMERS: [&str; 4] = ["ada", "bob", "cleo", "dan"];
const STEPS: [&str; 3] = ["created", "paid", "shipped"];

/// Publishes an order's step every 300 ms. A broker that is away is a line in the log, and the next try.
pub(crate) async fn run(brokers: String, orders: Channel) {
    if let Err(error) = create_topic(&brokers).await {
        eprintln!("The topic {TOPIC} could not be made: {error:#}");
    }
    for number in 0.. {
        let (order, step) = (number / STEPS.len(), STEPS[number % STEPS.len()]);
        let customer = CUSTOMERS[order % CUSTOMERS.len()];
        let payload = json!({ "order": order, "customer": customer, "step": step }).to_string();
        // The key keeps the steps of one customer in one partition, and so in order; the header names the event.
        let headers: Headers = [(orders.event_header(), format!("order.{step}"))].into_iter().collect();
        let message = Message::new(TOPIC, payload).with_key(customer).with_headers(headers);
        if let Err(error) = orders.publish(message).await {
            eprintln!("not published: {error}");
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Makes the topic if it is missing.
async fn create_topic(brokers: &str) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    // One that is there is an error of its own in the answer, and just what is wanted.
    admin.create_topics(&[NewTopic::new(TOPIC, 4, TopicReplication::Fixed(1))], &AdminOptions::new()).await?;
    Ok(())
}
