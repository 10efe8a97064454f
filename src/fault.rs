//! Named crash points for the tests. Without the `fault-injection` feature, which no release has, they are nothing.
//! Faults of the archive's store are beside it: `archive::store::faults`, by `MOODSTREAM_STORE_FAULTS`.

/// The points of one batch, in order: `polled`, `begun`, `produced`, `acknowledged`, `offsets_sent`, `committed`.
#[inline]
pub(crate) fn point(name: &str) {
    #[cfg(feature = "fault-injection")]
    armed::pass(name);
    #[cfg(not(feature = "fault-injection"))]
    let _ = name;
}

#[cfg(feature = "fault-injection")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// `MOODSTREAM_CRASH_AT=<point>:<n>` aborts the process at the n-th pass of the point.
    static CRASH_AT: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let setting = std::env::var("MOODSTREAM_CRASH_AT").ok()?;
        let (point, pass) = setting.split_once(':')?;
        Some((point.to_owned(), pass.parse().ok()?))
    });
    static PASSES: AtomicU64 = AtomicU64::new(0);

    pub(super) fn pass(name: &str) {
        if let Some((point, crash_at)) = CRASH_AT.as_ref()
            && point == name
            && PASSES.fetch_add(1, Ordering::Relaxed) + 1 == *crash_at
        {
            std::process::abort();
        }
    }
}
