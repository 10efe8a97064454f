//! `moodstream shadow`.

use clap::Args;

use super::ReportFormat;

/// Options of `shadow`.
#[derive(Debug, Args)]
pub struct ShadowArgs {
    /// The worker's admin server, host:port (admin.listen).
    #[arg(long, value_name = "HOST:PORT")]
    pub admin: Option<String>,
    /// How the figures are printed.
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}
