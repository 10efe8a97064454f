//! What is found wrong with the files named on the command line, before any work is done.

use std::io;

/// Wrong use: exit code 2, nothing has been written.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// An input cannot be read.
    #[error("cannot read {file}")]
    Unreadable {
        /// As it was named.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// An input is a folder.
    #[error("{file} is a folder; name files of JSON lines, or - for standard input")]
    Folder {
        /// As it was named.
        file: String,
    },
    /// Standard input cannot be read twice.
    #[error("- stands for standard input and can be named once only")]
    StdinTwice,
    /// An output is there already.
    #[error("{file} holds {bytes} bytes already; name another file, or replace it with --overwrite")]
    NotEmpty {
        /// As it was named.
        file: String,
        /// Its size.
        bytes: u64,
    },
    /// An output folder has files already.
    #[error("{folder} holds files already; name another folder, or replace all of it with --overwrite")]
    FolderNotEmpty {
        /// Where the files are.
        folder: String,
    },
    /// The files of a worker's archive belong to its claims.
    #[error("{folder} is a worker's archive, with _state beside its posts; name another folder")]
    Archive {
        /// As it was named.
        folder: String,
    },
    /// A file would be replaced together with the folder that it is in, or be taken for a part of it.
    #[error("{file} lies in {tree}, which holds nothing but the output; put it elsewhere")]
    InTree {
        /// As it was named.
        file: String,
        /// Where the output goes.
        tree: String,
    },
    /// An output is also an input.
    #[error("{file} is also an input; name another file for the output")]
    IsInput {
        /// As it was named.
        file: String,
    },
    /// Output and rejects would be one file.
    #[error("--out and --rejects are both {file}; name another file for one of them")]
    SameOutputs {
        /// As it was named.
        file: String,
    },
    /// An output cannot be a file there.
    #[error("cannot write {file}: {reason}")]
    Unwritable {
        /// As it was named.
        file: String,
        /// Why.
        reason: String,
    },
}
