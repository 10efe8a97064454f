//! Named crash points for the tests. Without the `fault-injection` feature, which no release has, they are nothing.
//! Faults of the archive's store are beside it: `archive::store::faults`, by `MOODSTREAM_STORE_FAULTS`.

/// The points of one batch, in order: `polled`, `begun`, `produced`, `acknowledged`, `offsets_sent`, `committed`; and of
/// one segment of the archive: `archive_before_claim`, `archive_after_claim`, `archive_between_files`,
/// `archive_before_offsets`, `archive_after_offsets`; and of one alert: `alert_claimed`, `alert_delivered`.
#[inline]
pub(crate) fn point(name: &str) {
    #[cfg(feature = "fault-injection")]
    armed::pass(name);
    #[cfg(not(feature = "fault-injection"))]
    let _ = name;
}

/// Whether a rule is switched off, for a test that shows that it would be missed: `MOODSTREAM_SWITCHED_OFF=<rule>`.
#[inline]
pub(crate) fn is_off(rule: &str) -> bool {
    #[cfg(feature = "fault-injection")]
    return armed::is_off(rule);
    #[cfg(not(feature = "fault-injection"))]
    {
        let _ = rule;
        false
    }
}

#[cfg(feature = "fault-injection")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// `MOODSTREAM_CRASH_AT=<point>:<n>` aborts the process at the n-th pass of the point.
    static CRASH_AT: LazyLock<Option<(String, u64)>> = LazyLock::new(|| place("MOODSTREAM_CRASH_AT"));
    /// `MOODSTREAM_STOP_AT=<point>:<n>` stops the process there, as SIGSTOP does, until somebody lets it go on.
    static STOP_AT: LazyLock<Option<(String, u64)>> = LazyLock::new(|| place("MOODSTREAM_STOP_AT"));
    static PASSES: AtomicU64 = AtomicU64::new(0);
    static STOP_PASSES: AtomicU64 = AtomicU64::new(0);

    static OFF: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("MOODSTREAM_SWITCHED_OFF").ok());

    pub(super) fn is_off(rule: &str) -> bool {
        OFF.as_deref() == Some(rule)
    }

    pub(super) fn pass(name: &str) {
        if is_here(CRASH_AT.as_ref(), &PASSES, name) {
            std::process::abort();
        }
        if is_here(STOP_AT.as_ref(), &STOP_PASSES, name) {
            // It returns when the process goes on.
            let _ = signal_hook::low_level::raise(signal_hook::consts::SIGSTOP);
        }
    }

    fn place(variable: &str) -> Option<(String, u64)> {
        let setting = std::env::var(variable).ok()?;
        let (point, pass) = setting.split_once(':')?;
        Some((point.to_owned(), pass.parse().ok()?))
    }

    fn is_here(place: Option<&(String, u64)>, passes: &AtomicU64, name: &str) -> bool {
        let here = place.filter(|(point, _)| point == name);
        here.is_some_and(|(_, wanted)| passes.fetch_add(1, Ordering::Relaxed) + 1 == *wanted)
    }
}
