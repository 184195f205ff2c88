//! Topic ids: what tells one incarnation of a topic from the next.
//!
//! rdkafka has no call for it, so this is `rd_kafka_DescribeTopics` of librdkafka, and all the `unsafe` there is in
//! this workspace. A call is started, waited for in slices (so that the caller can see why nothing comes), and may
//! be given up at any time.

#![allow(
    unsafe_code,
    reason = "rdkafka wraps no call that tells a topic's id; this one module calls librdkafka"
)]

use std::{
    ffi::{CStr, CString, c_char},
    marker::PhantomData,
    ptr::{self, NonNull},
    time::Duration,
};

use rdkafka::{
    ClientContext, bindings as rd,
    client::Client,
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};
use tidewater_core::{Epoch, Error, ErrorKind, Result, TopicName};

/// What the broker says of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// Its name.
    pub(crate) name: String,
    /// Its incarnation, or why that isn't known.
    pub(crate) incarnation: Result<Incarnation, RDKafkaErrorCode>,
}

/// One incarnation of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation {
    /// The topic id.
    pub(crate) epoch: Epoch,
    /// The same as librdkafka's log writes it.
    pub(crate) id: String,
    /// How many partitions it has.
    pub(crate) partitions: usize,
}

/// A question that is under way.
pub(crate) struct Question<'a> {
    /// Never null, destroyed once, in `drop`.
    queue: NonNull<rd::rd_kafka_queue_t>,
    /// The queue belongs to the client and must not outlive it.
    client: PhantomData<&'a ()>,
}

impl<'a> Question<'a> {
    /// Asks `broker` about these topics; the one that librdkafka holds for the controller, if none is named. librdkafka
    /// gives up after `timeout`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if librdkafka refuses the question.
    pub(crate) fn ask<C: ClientContext>(
        client: &'a Client<C>,
        broker: Option<i32>,
        topics: &[TopicName],
        timeout: Duration,
    ) -> Result<Self> {
        let names = topics
            .iter()
            .map(|topic| CString::new(topic.as_bytes()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::new(ErrorKind::Config, "the name of a topic").with_source(error))?;
        let mut names_raw: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let rk = client.native_ptr();
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let mut reason: [c_char; 256] = [0; 256];
        // SAFETY: `rk` is alive for `'a`, which outlives this call and the queue. `names_raw` points to
        // NUL-terminated strings that live until the end of this function; librdkafka copies them into the
        // collection and the collection into the request before DescribeTopics returns, so collection and options
        // are destroyed here (each once, after a null check), as its example does. `reason` is as long as stated.
        unsafe {
            let queue = NonNull::new(rd::rd_kafka_queue_new(rk)).ok_or_else(refused)?;
            let this = Self { queue, client: PhantomData };
            let options = NonNull::new(rd::rd_kafka_AdminOptions_new(
                rk,
                rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            ))
            .ok_or_else(refused)?;
            let mut set = rd::rd_kafka_AdminOptions_set_request_timeout(
                options.as_ptr(),
                timeout_ms,
                reason.as_mut_ptr(),
                reason.len(),
            );
            if let Some(broker) = broker
                && set == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                set = rd::rd_kafka_AdminOptions_set_broker(
                    options.as_ptr(),
                    broker,
                    reason.as_mut_ptr(),
                    reason.len(),
                );
            }
            let topics = rd::rd_kafka_TopicCollection_of_topic_names(names_raw.as_mut_ptr(), names_raw.len());
            let asked = set == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !topics.is_null();
            if asked {
                rd::rd_kafka_DescribeTopics(rk, topics, options.as_ptr(), queue.as_ptr());
            }
            if !topics.is_null() {
                rd::rd_kafka_TopicCollection_destroy(topics);
            }
            rd::rd_kafka_AdminOptions_destroy(options.as_ptr());
            if asked { Ok(this) } else { Err(refused()) }
        }
    }

    /// Waits for the answer, no longer than `slice`. After an answer there is no other.
    pub(crate) fn wait(
        &mut self,
        slice: Duration,
    ) -> Option<Result<Vec<Described>, (RDKafkaErrorCode, String)>> {
        let slice_ms = i32::try_from(slice.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive until `drop`. The event, where there is one, is ours: it is read while it lives
        // and destroyed once. The result is a view of the event, null if it is of another type.
        unsafe {
            let event = NonNull::new(rd::rd_kafka_queue_poll(self.queue.as_ptr(), slice_ms))?;
            let code = rd::rd_kafka_event_error(event.as_ptr());
            let answer = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                let result = rd::rd_kafka_event_DescribeTopics_result(event.as_ptr());
                if result.is_null() { None } else { Some(Ok(describe(result))) }
            } else {
                Some(Err((code.into(), text(rd::rd_kafka_event_error_string(event.as_ptr())))))
            };
            rd::rd_kafka_event_destroy(event.as_ptr());
            answer
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        // SAFETY: made in `ask`, destroyed only here, while the client is alive (`'a`). An answer that comes later
        // finds the queue disabled and is destroyed by librdkafka.
        unsafe { rd::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// # Safety
/// `result` is the result of an event that is alive.
unsafe fn describe(result: *const rd::rd_kafka_DescribeTopics_result_t) -> Vec<Described> {
    let mut count = 0;
    // SAFETY: by this function's contract; `count` is written before it returns.
    let topics = unsafe { rd::rd_kafka_DescribeTopics_result_topics(result, &mut count) };
    (0..count)
        // SAFETY: librdkafka returns an array of `count` descriptions that live as long as the event.
        .map(|index| unsafe { describe_one(*topics.add(index)) })
        .collect()
}

/// # Safety
/// `topic` is a description in an event that is alive.
unsafe fn describe_one(topic: *const rd::rd_kafka_TopicDescription_t) -> Described {
    // SAFETY: by this function's contract. The name is never null; the error is null where there is none (its code
    // is then NO_ERROR); the id is checked for null; all are read while the event lives.
    unsafe {
        let name = text(rd::rd_kafka_TopicDescription_name(topic));
        let code = rd::rd_kafka_error_code(rd::rd_kafka_TopicDescription_error(topic));
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Described { name, incarnation: Err(code.into()) };
        }
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() {
            return Described { name, incarnation: Err(RDKafkaErrorCode::UnknownTopicId) };
        }
        let high = rd::rd_kafka_Uuid_most_significant_bits(id) as u64;
        let low = rd::rd_kafka_Uuid_least_significant_bits(id) as u64;
        let mut partitions = 0;
        // The array is not looked at: only how long it is.
        let _array: *mut *const rd::rd_kafka_TopicPartitionInfo_t =
            rd::rd_kafka_TopicDescription_partitions(topic, &mut partitions);
        let incarnation = Incarnation {
            epoch: Epoch(u128::from(high) << 64 | u128::from(low)),
            id: text(rd::rd_kafka_Uuid_base64str(id)),
            partitions,
        };
        Described { name, incarnation: Ok(incarnation) }
    }
}

/// # Safety
/// `text` is null or a NUL-terminated string that lives until this returns.
unsafe fn text(text: *const c_char) -> String {
    if ptr::eq(text, ptr::null()) {
        return String::new();
    }
    // SAFETY: by this function's contract, and it isn't null.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn refused() -> Error {
    Error::new(ErrorKind::Internal, "librdkafka refuses to be asked for topic ids")
}
