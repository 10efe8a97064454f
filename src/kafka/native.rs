//! The librdkafka calls that rdkafka does not offer, and nothing else: the only `unsafe` of the crate.
//!
//! - Group metadata with its member id and generation: brokers accept a transactional offset commit
//!   with an empty member id and generation −1 without any check, so both are looked at, and the very
//!   object that was looked at is sent (I2).
//! - Topic ids (`DescribeTopics`): a topic made anew under the same name is another topic.
//! - What this user may do with a topic or a group, without trying it.
//! - The token of a client that nobody polls.
//! - The embedded broker's wait before a new group's first assignment, three seconds otherwise.
#![expect(unsafe_code, reason = "the one audited FFI file")]

use std::ffi::{CStr, CString, c_char};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::client::{Client, OAuthToken};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::{ClientContext, TopicPartitionList};
use rdkafka_sys as sys;

use super::failure::BrokerError;
use super::inspect::{GroupFacts, Member};

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

    /// The group's generation; with KIP-848 the member's epoch, 0 until it has joined.
    pub(super) fn generation(&self) -> i32 {
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
pub(super) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[String],
    timeout: Duration,
) -> Result<Vec<String>, BrokerError> {
    let names = c_strings(topics)?;
    // SAFETY: the description is alive while it is read; a null id is not read.
    describe_topics(client, &names, false, timeout, |description| unsafe {
        let id = sys::rd_kafka_TopicDescription_topic_id(description);
        let zero = id.is_null()
            || (sys::rd_kafka_Uuid_most_significant_bits(id) == 0
                && sys::rd_kafka_Uuid_least_significant_bits(id) == 0);
        if zero {
            String::new()
        } else {
            CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned()
        }
    })
}

/// What this user may do with a topic.
pub(super) fn topic_permissions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Permissions, BrokerError> {
    let names = c_strings(&[topic.to_owned()])?;
    // SAFETY: the description is alive while it is read; the array is `count` long.
    let found = describe_topics(client, &names, true, timeout, |description| unsafe {
        let mut count = 0;
        let operations = sys::rd_kafka_TopicDescription_authorized_operations(description, &raw mut count);
        Permissions::read(operations, count)
    })?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// A consumer group of either protocol: its state, members and what this user may do with it. The request that
/// rdkafka offers takes a KIP-848 group for a dead one.
pub(super) fn group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    timeout: Duration,
) -> Result<GroupFacts, BrokerError> {
    let names = c_strings(&[group.to_owned()])?;
    let mut pointers = pointers(&names);
    let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: `pointers` outlives the request's making, which copies the names; what is read belongs to
    // the event, which is alive during the reading, and is copied.
    let ask = |options, queue| unsafe {
        let rk = client.native_ptr();
        sys::rd_kafka_DescribeConsumerGroups(rk, pointers.as_mut_ptr(), pointers.len(), options, queue);
    };
    admin_call(client, op, true, timeout, ask, |event| unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if count == 0 {
            return Ok(GroupFacts::default());
        }
        let group = *groups;
        let failed = sys::rd_kafka_error_code(sys::rd_kafka_ConsumerGroupDescription_error(group));
        if failed == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND {
            return Ok(GroupFacts::default());
        }
        check(failed)?;
        let members = (0..sys::rd_kafka_ConsumerGroupDescription_member_count(group)).map(|index| {
            let member = sys::rd_kafka_ConsumerGroupDescription_member(group, index);
            Member {
                client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
                host: text(sys::rd_kafka_MemberDescription_host(member)).trim_start_matches('/').to_owned(),
            }
        });
        let members = members.collect();
        let state = sys::rd_kafka_ConsumerGroupDescription_state(group);
        let state = text(sys::rd_kafka_consumer_group_state_name(state));
        let operations = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(group, &raw mut count);
        Ok(GroupFacts { state, members, permissions: Permissions::read(operations, count) })
    })
}

/// What a user may do with a topic or a group, as the broker told it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Permissions {
    told: bool,
    operations: u32,
}

impl Permissions {
    /// Whether reading is allowed; `None`: the broker did not tell.
    pub(crate) fn to_read(self) -> Option<bool> {
        self.allow(sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ)
    }

    /// Whether writing is allowed; `None`: the broker did not tell.
    pub(crate) fn to_write(self) -> Option<bool> {
        self.allow(sys::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE)
    }

    fn allow(self, operation: sys::rd_kafka_AclOperation_t) -> Option<bool> {
        self.told.then_some(self.operations & (1 << operation as u32) != 0)
    }

    /// # Safety
    /// `operations` is null or an array of `count`.
    unsafe fn read(operations: *const sys::rd_kafka_AclOperation_t, count: usize) -> Self {
        let mut read = Self { told: !operations.is_null(), operations: 0 };
        if read.told {
            for index in 0..count {
                // SAFETY: inside the array. Read as a number: a newer broker may know more operations.
                let operation = unsafe { operations.cast::<u32>().add(index).read() };
                read.operations |= 1_u32.checked_shl(operation).unwrap_or(0);
            }
        }
        read
    }
}

/// Describes topics and reads each description, in the order of `names`.
fn describe_topics<C: ClientContext, T>(
    client: &Client<C>,
    names: &[CString],
    permissions: bool,
    timeout: Duration,
    read: impl Fn(*const sys::rd_kafka_TopicDescription_t) -> T,
) -> Result<Vec<T>, BrokerError> {
    let mut pointers = pointers(names);
    let op = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the collection copies the names and is destroyed once; the request copies the collection.
    let ask = |options, queue| unsafe {
        let collection = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        sys::rd_kafka_DescribeTopics(client.native_ptr(), collection, options, queue);
        sys::rd_kafka_TopicCollection_destroy(collection);
    };
    // SAFETY: what is read belongs to the event, which is alive during the reading, and is copied.
    admin_call(client, op, permissions, timeout, ask, |event| unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut all = Vec::with_capacity(count);
        for index in 0..count {
            let description = *descriptions.add(index);
            check(sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(description)))?;
            all.push(read(description));
        }
        Ok(all)
    })
}

/// Makes an admin request, waits for its event and reads it.
fn admin_call<C: ClientContext, T>(
    client: &Client<C>,
    op: sys::rd_kafka_admin_op_t,
    permissions: bool,
    timeout: Duration,
    ask: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: impl FnOnce(*mut sys::rd_kafka_event_t) -> Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    let rk = client.native_ptr();
    // SAFETY: every object created here is destroyed here, once; the event is destroyed after it was read.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(rk, op);
        let mut text = [0 as c_char; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(options, milliseconds(timeout), text.as_mut_ptr(), text.len());
        let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, permissions.into());
        let queue = sys::rd_kafka_queue_new(rk);
        let mut answer = take_error(refused).map_or(Ok(()), Err);
        let mut event = std::ptr::null_mut();
        if answer.is_ok() {
            ask(options, queue);
            event = sys::rd_kafka_queue_poll(queue, milliseconds(timeout + Duration::from_secs(1)));
            answer = if event.is_null() {
                Err(BrokerError::local("the broker did not answer in time"))
            } else {
                check(sys::rd_kafka_event_error(event))
            };
        }
        let answer = answer.and_then(|()| read(event));
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        answer
    }
}

/// # Safety
/// `pointer` is null or a NUL-terminated string.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as promised; it is copied.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

fn c_strings(names: &[String]) -> Result<Vec<CString>, BrokerError> {
    let all = names.iter().map(|name| CString::new(name.as_str())).collect::<Result<_, _>>();
    all.map_err(|_| BrokerError::local("a name holds a NUL character"))
}

fn pointers(names: &[CString]) -> Vec<*const c_char> {
    names.iter().map(|name| name.as_ptr()).collect()
}

fn check(code: sys::rd_kafka_resp_err_t) -> Result<(), BrokerError> {
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        Ok(())
    } else {
        Err(BrokerError::of_code(code.into()))
    }
}

/// Gives a client the token that it shows its brokers; librdkafka copies it.
pub(super) fn set_token<C: ClientContext>(client: &Client<C>, token: &OAuthToken) -> Result<(), BrokerError> {
    let texts = c_strings(&[token.token.clone(), token.principal_name.clone()])?;
    let mut reason = [0 as c_char; 256];
    // SAFETY: the client and the texts outlive the call, there are no extensions, and the reason is as long as told.
    let code = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            texts[0].as_ptr(),
            token.lifetime_ms,
            texts[1].as_ptr(),
            std::ptr::null_mut(),
            0,
            reason.as_mut_ptr(),
            reason.len(),
        )
    };
    check(code).map_err(|error| {
        // SAFETY: librdkafka ends what it wrote with a NUL.
        let reason = unsafe { CStr::from_ptr(reason.as_ptr()) }.to_string_lossy();
        BrokerError { message: format!("the client refuses its token: {reason}"), ..error }
    })
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
