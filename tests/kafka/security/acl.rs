//! Access control lists, which the Rust client cannot change: `CreateAcls` and `DeleteAcls` as bytes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Kinds of resources, as the protocol numbers them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Resource {
    Topic = 2,
    Group = 3,
    Cluster = 4,
    TransactionalId = 5,
}

/// Operations, as the protocol numbers them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    All = 2,
    Read = 3,
    Write = 4,
    Describe = 8,
}

/// How a name is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pattern {
    Literal = 3,
    Prefixed = 4,
}

/// Allowed or denied.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Permission {
    Deny = 2,
    Allow = 3,
}

/// Changes one entry; `broker` must let everyone do so.
pub(crate) fn create(
    broker: &str,
    principal: &str,
    permission: Permission,
    operation: Operation,
    (resource, pattern, name): (Resource, Pattern, &str),
) {
    const CREATE_ACLS: i16 = 30;
    const VERSION: i16 = 1;
    const NO_CLIENT_ID: i16 = -1;
    let text = |text: &str| {
        let length = i16::try_from(text.len()).expect("a name is short");
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    };
    let request = [
        &CREATE_ACLS.to_be_bytes()[..],
        &VERSION.to_be_bytes(),
        &1_i32.to_be_bytes(),
        &NO_CLIENT_ID.to_be_bytes(),
        &1_i32.to_be_bytes(),
        &[resource as u8],
        &text(name),
        &[pattern as u8],
        &text(&format!("User:{principal}")),
        &text("*"),
        &[operation as u8, permission as u8],
    ]
    .concat();
    let size = i32::try_from(request.len()).expect("a request is short");
    let mut stream = TcpStream::connect(broker).expect("the broker is up");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a deadline");
    stream.write_all(&[&size.to_be_bytes()[..], &request].concat()).expect("the broker reads");
    let mut size = [0; 4];
    stream.read_exact(&mut size).expect("the broker answers");
    let mut reply = vec![0; usize::try_from(i32::from_be_bytes(size)).expect("a size")];
    stream.read_exact(&mut reply).expect("the broker answers");
    // The reply: correlation id, throttle time, one result: its error.
    assert_eq!(reply.get(12..14), Some(&[0, 0][..]), "the entry is refused: {}", String::from_utf8_lossy(&reply));
}
