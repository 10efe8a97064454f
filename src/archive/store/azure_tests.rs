//! The contract against Azurite, Azure's emulator, where `tools/test-azure.sh` has started one.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::contract_tests::{Asked, keeps_the_contract};
use super::*;

keeps_the_contract! { emulated() }

/// A place of its own in the emulator's container, if there is one.
fn emulated() -> Option<Asked<()>> {
    std::env::var_os("MOODSTREAM_AZURITE")?;
    let url = format!("az://archive/{:016x}", RandomState::new().hash_one(0));
    let emulator = [("azure_storage_use_emulator".to_owned(), "true".to_owned())].into_iter().collect();
    let store = Store::open(&url, &emulator, Duration::from_secs(20)).expect("opened");
    Some(Asked { store, _held: () })
}
