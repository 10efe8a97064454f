//! Posts to feed the worker, and what was produced where.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

/// Where the posts come from.
const POSTS_VARIABLE: &str = "MOODSTREAM_TEST_POSTS";

/// How many distinct posts the tests can take.
const MOST: usize = 20_000;

/// A record as it is given to a topic.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    /// The key.
    pub(crate) key: Option<Vec<u8>>,
    /// The value; none is a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    /// Headers.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The post's id and text, where the value is a post that can be labelled.
    pub(crate) post: Option<Post>,
}

/// What a labelled output must carry unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Post {
    /// The id.
    pub(crate) id: String,
    /// The text.
    pub(crate) text: String,
}

impl Draft {
    /// A post with this id and text.
    pub(crate) fn post(id: &str, text: &str) -> Self {
        let value = serde_json::json!({"id": id, "text": text, "lang": "en", "platform": "test"});
        Self {
            value: Some(value.to_string().into_bytes()),
            post: Some(Post { id: id.to_owned(), text: text.to_owned() }),
            ..Self::default()
        }
    }

    /// Any bytes.
    pub(crate) fn raw(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// The same with a key.
    pub(crate) fn keyed(mut self, key: &str) -> Self {
        self.key = Some(key.as_bytes().to_vec());
        self
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }
}

/// A record of an input topic: what was produced, and where the broker put it.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// Topic.
    pub(crate) topic: String,
    /// Partition.
    pub(crate) partition: i32,
    /// Offset.
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// What was produced.
    pub(crate) draft: Draft,
}

/// The first `count` posts, the same ones in every run: of the file named by `MOODSTREAM_TEST_POSTS`, else of the
/// shared data beside the project, else of a generator.
pub(crate) fn take(count: usize) -> Vec<Draft> {
    static POSTS: OnceLock<Vec<Draft>> = OnceLock::new();
    let posts = POSTS.get_or_init(|| {
        let named = env::var_os(POSTS_VARIABLE).map(PathBuf::from);
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/posts/posts.jsonl");
        match named {
            Some(path) => from_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            None => from_file(&beside).unwrap_or_else(|_| (0..MOST).map(generated).collect()),
        }
    });
    // A larger count goes round: ids and texts repeat, which the worker has to take too.
    posts.iter().cycle().take(count).cloned().collect()
}

fn from_file(path: &std::path::Path) -> std::io::Result<Vec<Draft>> {
    let posts: Vec<Draft> = fs::read_to_string(path)?
        .lines()
        .take(MOST)
        .map(|line| {
            let post: serde_json::Value = serde_json::from_str(line)?;
            let field = |name: &str| post[name].as_str().unwrap_or_default().to_owned();
            Ok(Draft {
                key: Some(field("id").into_bytes()),
                value: Some(line.as_bytes().to_vec()),
                post: Some(Post { id: field("id"), text: field("text") }),
                ..Draft::default()
            })
        })
        .collect::<Result<_, serde_json::Error>>()?;
    if posts.is_empty() {
        return Err(std::io::Error::other("holds no post"));
    }
    Ok(posts)
}

/// A post made of the number alone, some 20 words long.
fn generated(number: usize) -> Draft {
    const WORDS: [&str; 24] = [
        "happy", "tired", "the", "train", "again", "coffee", "why", "love", "this", "rain", "tomorrow", "so", "angry",
        "hope", "game", "lost", "win", "😂", "❤️", "never", "friends", "home", "late", "scared",
    ];
    // A linear congruential generator (Knuth's MMIX constants): the same texts everywhere.
    let mut state = number as u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 40).expect("24 bits")
    };
    let length = 4 + next() % 30;
    let text: Vec<&str> = (0..length).map(|_| WORDS[next() % WORDS.len()]).collect();
    let id = format!("made-{number}");
    Draft::post(&id, &format!("{} #{number}", text.join(" "))).keyed(&id)
}

/// Produces `drafts` to the partitions in turn and returns them with their offsets, in the order given.
pub(crate) fn produce(brokers: &str, topic: &str, partitions: &[i32], drafts: Vec<Draft>) -> Vec<Input> {
    let places: Arc<Places> = Arc::new(Places { of: Mutex::new(vec![None; drafts.len()]) });
    let producer: BaseProducer<Delivered> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5")
        .set("message.max.bytes", "20000000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("delivery.timeout.ms", "60000")
        .create_with_context(Delivered { places: Arc::clone(&places) })
        .expect("a producer's configuration is valid");
    for (index, draft) in drafts.iter().enumerate() {
        let mut headers = OwnedHeaders::new_with_capacity(draft.headers.len());
        for (key, value) in &draft.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record = BaseRecord::<[u8], [u8], Box<usize>>::with_opaque_to(topic, Box::new(index))
            .partition(partitions[index % partitions.len()])
            .headers(headers);
        record.key = draft.key.as_deref();
        record.payload = draft.value.as_deref();
        while let Err((error, unsent)) = producer.send(record) {
            assert!(
                matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                "cannot produce to {topic}: {error}"
            );
            producer.poll(Duration::from_millis(5));
            record = unsent;
        }
    }
    producer.flush(Duration::from_mins(1)).expect("the broker takes the posts within a minute");
    let places = places.of.lock().expect("no panic while it was held");
    let input = |(draft, place): (Draft, &Option<Place>)| {
        let Place { partition, offset, timestamp } = place.expect("flush waits for every delivery report");
        Input { topic: topic.to_owned(), partition, offset, timestamp, draft }
    };
    drafts.into_iter().zip(places.iter()).map(input).collect()
}

/// Where the broker put a record.
#[derive(Debug, Clone, Copy)]
struct Place {
    partition: i32,
    offset: i64,
    timestamp: i64,
}

/// The place of each produced record.
struct Places {
    of: Mutex<Vec<Option<Place>>>,
}

/// Notes where the broker put each record.
struct Delivered {
    places: Arc<Places>,
}

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Box<usize>) {
        let message = match result {
            Ok(message) => message,
            Err((error, _)) => panic!("a test post was not delivered: {error}"),
        };
        let place = Place {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().expect("the broker keeps timestamps"),
        };
        self.places.of.lock().expect("no panic while it was held")[*index] = Some(place);
    }
}
