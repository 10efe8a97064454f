//! The metrics of the archive.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::declare::{Declarations, Labelled};
use super::metrics::FloatGauge;

/// What the archiver of this worker has done and holds.
#[derive(Debug)]
pub struct ArchiveMetrics {
    /// Rows in files that this worker made.
    pub rows: Counter,
    /// Bytes of these files.
    pub bytes: Counter,
    /// Files that this worker made.
    pub files: Counter,
    /// Files that are to be made of the rows held.
    pub open_files: Gauge,
    /// Memory of the rows held.
    pub memory_bytes: Gauge,
    /// Age of the oldest record read and not archived, by partition.
    pub lag_seconds: Labelled<FloatGauge, 1>,
    /// Claims, by whether this worker won them.
    pub claims: Labelled<Counter, 1>,
    /// Rows of hours that were complete already.
    pub late_rows: Counter,
    /// Hours that this worker declared complete.
    pub hours_completed: Counter,
    /// Hours that are over and not complete yet.
    pub hours_open: Gauge,
    /// Ranges of offsets, or files, whose records were gone before they were archived, by cause.
    pub holes: Labelled<Counter, 1>,
    /// Output records that cannot be rows.
    pub rejected: Counter,
    /// Hours that retention has removed.
    pub hours_expired: Counter,
    /// Changes of the archiver's assignment.
    pub rebalances: Counter,
    /// Time spent on the store's requests.
    pub store_seconds: Counter<f64, AtomicU64>,
    /// 1 while the archive cannot work.
    pub failing: Gauge,
}

impl ArchiveMetrics {
    pub(super) fn declare(declare: &mut Declarations) -> Self {
        let claims = declare.labelled(
            "archive_claims",
            ["result"],
            "Claims of a range of the output topic: won, or lost to another archiver or an unknown answer",
        );
        for result in ["won", "lost"] {
            claims.of([result]);
        }
        let holes = declare.labelled(
            "archive_holes",
            ["cause"],
            "Ranges whose records were gone before they were archived: before_archive, expired; or short, a file made \
             anew with fewer rows than promised",
        );
        for cause in ["before_archive", "expired", "short"] {
            holes.of([cause]);
        }
        Self {
            rows: declare.plain("archive_rows", "Rows in the Parquet files that this worker made", Counter::default()),
            bytes: declare.plain(
                "archive_bytes",
                "Bytes of the Parquet files that this worker made",
                Counter::default(),
            ),
            files: declare.plain("archive_files", "Parquet files that this worker made", Counter::default()),
            open_files: declare.plain(
                "archive_open_files",
                "Files to be made of the rows held: one for each partition, hour and model",
                Gauge::default(),
            ),
            memory_bytes: declare.plain("archive_memory_bytes", "Memory of the rows held", Gauge::default()),
            lag_seconds: declare.labelled(
                "archive_lag_seconds",
                ["partition"],
                "Age of the oldest record of the output topic that is read and not in a file yet; up to an hour and \
                 archive.grace in steady flow",
            ),
            claims,
            late_rows: declare.plain(
                "archive_late_rows",
                "Rows in files of hours that were complete already",
                Counter::default(),
            ),
            hours_completed: declare.plain(
                "archive_hours_completed",
                "Hours that this worker declared complete",
                Counter::default(),
            ),
            hours_open: declare.plain(
                "archive_hours_open",
                "Hours that are over, archive.grace included, and not complete yet",
                Gauge::default(),
            ),
            holes,
            rejected: declare.plain(
                "archive_rejected",
                "Records of the output topic that cannot be rows; they are kept under _state/rejects",
                Counter::default(),
            ),
            hours_expired: declare.plain(
                "archive_hours_expired",
                "Hours that archive.retention has removed",
                Counter::default(),
            ),
            rebalances: declare.plain("archive_rebalances", "Changes of the archiver's assignment", Counter::default()),
            store_seconds: declare.plain(
                "archive_store_seconds",
                "Time that the archiver has waited for the store",
                Counter::default(),
            ),
            failing: declare.plain(
                "archive_failing",
                "1 while the archive cannot work, else 0; labelling goes on meanwhile, and the log says why",
                Gauge::default(),
            ),
        }
    }
}
