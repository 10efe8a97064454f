//! The librdkafka calls that rdkafka does not offer, and nothing else: the only `unsafe` of the crate.
//!
//! - Group metadata with its member id and generation: brokers accept a transactional offset commit
//!   with an empty member id and generation −1 without any check, so both are looked at, and the very
//!   object that was looked at is sent (I2).
//! - Topic ids (`DescribeTopics`): a topic made anew under the same name is another topic.
//! - The embedded broker's wait before a new group's first assignment, three seconds otherwise.
#![expect(unsafe_code, reason = "the one audited FFI file")]

use std::ffi::{CStr, CString, c_char};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka_sys as sys;

use super::failure::BrokerError;

/// The consumer's membership at one moment, checked to be a real one.
#[derive(Debug)]
pub(super) struct GroupMetadata<'a> {
    native: NonNull<sys::rd_kafka_consumer_group_metadata_t>,
    consumer: PhantomData<&'a ()>,
}

impl<'a> GroupMetadata<'a> {
    /// `None` when the consumer is no member of a generation now.
    pub(super) fn of<C: ConsumerContext>(consumer: &'a BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the client outlives the call; the returned object is ours to destroy (see `Drop`).
        let native = unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        let metadata = Self { native: NonNull::new(native)?, consumer: PhantomData };
        (!metadata.member_id().to_bytes().is_empty() && metadata.generation() >= 0).then_some(metadata)
    }

    fn member_id(&self) -> &CStr {
        // SAFETY: the string belongs to the metadata object and lives as long as it.
        let id = unsafe { sys::rd_kafka_consumer_group_metadata_member_id(self.native.as_ptr()) };
        // SAFETY: librdkafka returns a NUL-terminated string or null.
        if id.is_null() { c"" } else { unsafe { CStr::from_ptr(id) } }
    }

    fn generation(&self) -> i32 {
        // SAFETY: the object is alive.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.native.as_ptr()) }
    }

    /// Adds `offsets` to the producer's open transaction, fenced by this membership.
    pub(super) fn send_offsets<C: ProducerContext>(
        &self,
        producer: &BaseProducer<C>,
        offsets: &TopicPartitionList,
        timeout: Duration,
    ) -> Result<(), BrokerError> {
        // SAFETY: all three objects are alive during the call; librdkafka copies what it keeps.
        let error = unsafe {
            sys::rd_kafka_send_offsets_to_transaction(
                producer.client().native_ptr(),
                offsets.ptr(),
                self.native.as_ptr(),
                milliseconds(timeout),
            )
        };
        take_error(error).map_or(Ok(()), Err)
    }
}

impl Drop for GroupMetadata<'_> {
    fn drop(&mut self) {
        // SAFETY: created by librdkafka for us, destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.native.as_ptr()) }
    }
}

/// The ids of `topics`, in the same order; empty where the broker knows none (an old or embedded one).
pub(super) fn topic_ids<C: rdkafka::ClientContext>(
    client: &Client<C>,
    topics: &[String],
    timeout: Duration,
) -> Result<Vec<String>, BrokerError> {
    let invalid = || BrokerError::local("a topic name holds a NUL character");
    let names =
        topics.iter().map(|t| CString::new(t.as_str())).collect::<Result<Vec<_>, _>>().map_err(|_| invalid())?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let rk = client.native_ptr();
    // SAFETY: every object created here is destroyed below, once; `pointers` outlives the collection's
    // constructor, which copies the names; the result's parts are read before its event is destroyed.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(rk, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut text = [0 as c_char; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds(timeout), text.as_mut_ptr(), text.len());
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let queue = sys::rd_kafka_queue_new(rk);
        sys::rd_kafka_DescribeTopics(rk, collection, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, milliseconds(timeout + Duration::from_secs(1)));
        let ids = read_topic_ids(event);
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_TopicCollection_destroy(collection);
        sys::rd_kafka_AdminOptions_destroy(options);
        ids
    }
}

/// # Safety
/// `event` is null or an event that stays alive during the call.
unsafe fn read_topic_ids(event: *mut sys::rd_kafka_event_t) -> Result<Vec<String>, BrokerError> {
    if event.is_null() {
        return Err(BrokerError::local("the broker did not describe the topics in time"));
    }
    // SAFETY: the event is alive; what is read belongs to it and is copied.
    unsafe {
        let code = sys::rd_kafka_event_error(event);
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(BrokerError::of_code(code.into()));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut ids = Vec::with_capacity(count);
        for index in 0..count {
            let description = *descriptions.add(index);
            let error = sys::rd_kafka_TopicDescription_error(description);
            let code = sys::rd_kafka_error_code(error);
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(BrokerError::of_code(code.into()));
            }
            let id = sys::rd_kafka_TopicDescription_topic_id(description);
            let zero = id.is_null()
                || (sys::rd_kafka_Uuid_most_significant_bits(id) == 0
                    && sys::rd_kafka_Uuid_least_significant_bits(id) == 0);
            ids.push(if zero {
                String::new()
            } else {
                CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned()
            });
        }
        Ok(ids)
    }
}

/// Sets how long the embedded broker that `client` owns waits for more members before it assigns partitions to a
/// new group; does nothing with any other client.
pub(crate) fn set_embedded_join_delay<C: rdkafka::ClientContext>(client: &Client<C>, delay: Duration) {
    // SAFETY: the client outlives both calls, and the cluster, if there is one, lives as long as the client.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, milliseconds(delay));
        }
    }
}

fn take_error(error: *mut sys::rd_kafka_error_t) -> Option<BrokerError> {
    if error.is_null() {
        return None;
    }
    // SAFETY: a non-null error object is ours to read and to destroy once; its string is copied.
    unsafe {
        let code: RDKafkaErrorCode = sys::rd_kafka_error_code(error).into();
        let message = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        let taken = BrokerError {
            code: Some(code),
            message,
            fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            retriable: sys::rd_kafka_error_is_retriable(error) != 0,
            requires_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
        };
        sys::rd_kafka_error_destroy(error);
        Some(taken)
    }
}

fn milliseconds(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}
